"""The known answers that the self-test asks for: published ones; where each comes from stands beside it."""

from __future__ import annotations

# The GCM specification by McGrew and Viega, appendix B, cases 4, 10 and 16 (RFC 4106 section 9 points there): they have
# associated data, as ESP and IKE always do. By key length: key, ciphertext, tag.
GCM_NONCE, GCM_ASSOCIATED = "cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2"
GCM_PLAINTEXT = (
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
    "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
)
GCM = {
    128: (
        "feffe9928665731c6d6a8f9467308308",
        (
            "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
            "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091"
        ),
        "5bc94fbc3221a5db94fae95ae7121a47",
    ),
    192: (
        "feffe9928665731c6d6a8f9467308308feffe9928665731c",
        (
            "3980ca0b3c00e841eb06fac4872a2757859e1ceaa6efd984628593b40ca1e19c"
            "7d773d00c144c525ac619d18c84a3f4718e2448b2fe324d9ccda2710"
        ),
        "2519498e80f1478f37ba55bd6d27618c",
    ),
    256: (
        "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
        (
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
            "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
        ),
        "76fc6ece0f4e1768cddf8853bb2d551b",
    ),
}

# RFC 7634 appendix B: key, nonce, associated data, plaintext, ciphertext and tag
CHACHA20 = (
    "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
    "a0a1a2a31011121314151617",
    "c0c1c2c3c4c5c6c7d0d1d2d3d4d5d6d72e202500000000090000004529000029",
    "0000000c000040010000000a00",
    "610394701f8d017f7c129248896b71bfe25236efd7cdc67066906315b2",
)

# NIST CAVP, CCM-VTT. By key length and octets of the ICV: key, nonce, associated data, plaintext, ciphertext and ICV.
CCM = {
    (128, 8): (
        "368f35a1f80eaaacd6bb136609389727",
        "842a8445847502ea77363a16b6",
        "34396dfcfa6f742aea7040976bd596497a7a6fa4fb85ee8e4ca394d02095b7bf",
        "1cccd55825316a94c5979e049310d1d717cdfb7624289dac",
        "1a58094f0e8c6035a5584bfa8d1009c5f78fd2ca487ff222f6d1d897d6051618",
    ),
    (128, 12): (
        "3ee186594f110fb788a8bf8aa8be5d4a",
        "44f705d52acf27b7f17196aa9b",
        "2c16724296ff85e079627be3053ea95adf35722c21886baba343bd6c79b5cb57",
        "d71864877f2578db092daba2d6a1f9f4698a9c356c7830a1",
        "b4dd74e7a0cc51aea45dfb401a41d5822c96901a83247ea0d6965f5aa6e31302a9cc2b36",
    ),
    (128, 16): (
        "4189351b5caea375a0299e81c621bf43",
        "48c0906930561e0ab0ef4cd972",
        "40a27c1d1e23ea3dbe8056b2774861a4a201cce49f19997d19206d8c8a343951",
        "4535d12b4377928a7c0a61c9f825a48671ea05910748c8ef",
        "26c56961c035a7e452cce61bc6ee220d77b3f94d18fd10b6d80e8bf80f4a46cab06d4313f0db9be9",
    ),
    (192, 8): (
        "bdf277af2226f03ec1a0ba7a8532ade6aea9b3d519fe2d38",
        "cc3c596be884e7caed503315c0",
        "4d6546167b3ed55f01c62bd384e02e1039c0d67ef7abe33291fecb136272f73b",
        "0ff89eff92a530b66684cd75a39481e7e069a7d05e89b692",
        "6ef66a52c866bd5df20ec5096de92167ad83cab0e095ad0c778a299f1224f10c",
    ),
    (192, 12): (
        "5a5667197f46b8027980d0a3166c0a419713d4df0629a860",
        "6236b01079d180fce156fbaab4",
        "29bdf65b29394d363d5243d4249bad087520f8d733a763daa1356be458d487e5",
        "d0e4024d6e33daafc011fe463545ed20f172872f6f33cefa",
        "479f3d408bfa00d1cd1c8bf11a167ce7ae4bcdb011f04e38733013b8ebe5e92b1917640c",
    ),
    (192, 16): (
        "a7177fd129674c6c91c1c89f4408139afe187026b8114893",
        "31bb28f0e1e63c36ca3959dd18",
        "2529a834668187213f5342a1f3deea0dc2765478c7d71c9c21b9eb1351a5f6cb",
        "2cea0f7304860a4f40a28c8b890db60f3891b9982478495e",
        "5bb7aa6ab9c02a5712d62343fbe61f774e598d6b87545612380ea23dcffc9574f672bca92e306411",
    ),
    (256, 8): (
        "bae73483de27b581a7c13f178a6d7bda168c1b4a1cb9180512a13e3ab914eb61",
        "daf54faef6e4fc7867624b76f2",
        "7022eaa52c9da821da72d2edd98f6b91dfe474999b75b34699aeb38465f70c1c",
        "28ef408d57930086011b167ac04b866e5b58fe6690a0b9c3",
        "356367c6cee4453658418d9517f7c6faddcd7c65aef460138cf050f48c505151",
    ),
    (256, 12): (
        "7f4af6765cad1d511db07e33aaafd57646ec279db629048aa6770af24849aa0d",
        "dde2a362ce81b2b6913abc3095",
        "404f5df97ece7431987bc098cce994fc3c063b519ffa47b0365226a0015ef695",
        "7ebef26bf4ecf6f0ebb2eb860edbf900f27b75b4a6340fdb",
        "353022db9c568bd7183a13c40b1ba30fcc768c54264aa2cd2927a053c9244d3217a7ad05",
    ),
    (256, 16): (
        "60823b64e0b2da3a7eb772bd5941c534e6ff94ea96b564e2b38f82c78bb54522",
        "48526f1bffc97dd65e42906983",
        "fab62b3e5deda7a9c1128663cc81c44b74ab1bfe70bc1c9dec7c7fd08173b80a",
        "a8be794613835c4366e75817d228438f011a2ec8a86f9797",
        "cc3efe04d84a4ec5cb6a6c28dc2c2d386a359d9550dbdec963ddd56464aed6d0613159d1aa181dcb",
    ),
}

# draft-mcgrew-gcm-test-01 section 4: key, nonce, SPI and sequence number, payload, payload and ICV
GMAC = (
    "4c80cdefbb5d10da906ac73c3613a634",
    "22433c640000000000000000",
    "0000432100000007",
    "45000030da3a00008001df3bc0a80005c0a800010800c6cd020007006162636465666768696a6b6c6d6e6f707172737401020201",
    (
        "45000030da3a00008001df3bc0a80005c0a800010800c6cd020007006162636465666768696a6b6c6d6e6f707172737401020201"
        "f2a9a836e155106aa8dcd618e4099aaa"
    ),
)

# NIST SP 800-38A, F.2.1, F.2.3 and F.2.5, two blocks. By key length: key and ciphertext.
CBC_IV = "000102030405060708090a0b0c0d0e0f"
CBC_PLAINTEXT = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
CBC = {
    128: (
        "2b7e151628aed2a6abf7158809cf4f3c",
        "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2",
    ),
    192: (
        "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
        "4f021db243bc633d7178183a9fa071e8b4d9ada9ad7dedf4e5e738763f69145a",
    ),
    256: (
        "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
        "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d",
    ),
}

# The vectors of Camellia-CBC that OpenSSL has; the plaintext and IV are those above. By key length: key and ciphertext.
CAMELLIA = {
    128: (
        "2b7e151628aed2a6abf7158809cf4f3c",
        "1607cf494b36bbf00daeb0b503c831aba2f2cf671629ef7840c5a5dfb5074887",
    ),
    192: (
        "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
        "2a4830ab5ac4a1a2405955fd2195cf935d5a869bd14ce54264f892a6dd2ec3d5",
    ),
    256: (
        "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
        "e6cfa35fc02b134a4d2c0b6737ac3eda36cbeb73bd504b4070b1b7de2b21eb50",
    ),
}

# NIST CAVP, TCBCMMT3 case 1, and FIPS 81 table C1. By key length: key, IV, plaintext and ciphertext.
DES = {
    192: (
        "a49d7564199e97cb529d2c9d97bf2f98d35edf57ba1f7358",
        "c2e999cb6249023c",
        "c689aee38a301bb316da75db36f110b5",
        "e9afaba5ec75ea1bbe65506655bb4ecb",
    ),
    64: (
        "0123456789abcdef",
        "1234567890abcdef",
        "4e6f77206973207468652074696d6520666f7220616c6c20",
        "e5c7cdde872bf27c43e934008c389c0f683788499a7c05f6",
    ),
}

# RFC 3686 section 6, vectors 1, 4 and 7. By key length: key, nonce, IV and ciphertext.
CTR_PLAINTEXT = b"Single block msg"
CTR = {
    128: ("ae6852f8121067cc4bf7a5765577f39e", "00000030", "0000000000000000", "e4095d4fb7a7b3792d6175a3261311b8"),
    192: (
        "16af5b145fc9f579c175f93e3bfb0eed863d06ccfdb78515",
        "00000048",
        "36733c147d6d93cb",
        "4b55384fe259c9c84e7935a003cbe928",
    ),
    256: (
        "776beff2851db06f4c8a0542c8696f6c6a81af1eec96b4d37fc1d689e6c1c104",
        "00000060",
        "db5672c97aa8f0b2",
        "145ad01dbf824ec7560863dc71e3e0c0",
    ),
}

# "Hi There" under a key of octets 0x0b: RFC 2202 section 3 case 1, RFC 4868 section 2.7.2 cases AUTH256-1 to AUTH512-1
INTEGRITY = {
    "md5": "9294727a3638bb1c13f48ef8",
    "sha1": "b617318655057264e28bc0b6",
    "sha256": "198a607eb44bfbc69903a0f1cf2bbdc5",
    "sha384": "b6a8d5636f5c6a7224f9977dcf7ee6c7fb6d0c48cbdee973",
    "sha512": "637edc6e01dce7e6742a99451aae82df23da3e92439e590e43e761b33e910fb8",
}

# "what do ya want for nothing?" under "Jefe": RFC 2202 section 3 case 2, RFC 4231 section 4.3
PRF = {
    "prfmd5": "750c783e6ab0b503eaa86e310a5db738",
    "prfsha1": "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
    "prfsha256": "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    "prfsha384": "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
    "prfsha512": "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
    "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
}

# RFC 3566 section 4.6 case 4, RFC 4494 section 5 case 3: key, message and ICV
AES_MAC = {
    "aesxcbc": (
        "000102030405060708090a0b0c0d0e0f",
        "000102030405060708090a0b0c0d0e0f10111213",
        "47f51b4564966215b8985c63",
    ),
    "aescmac": (
        "2b7e151628aed2a6abf7158809cf4f3c",
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411",
        "dfa66747de9ae63030ca3261",
    ),
}

# RFC 4434 section 2 and RFC 4615 section 4, the keys of 18 octets: key, message and output
AES_PRF = {
    "prfaesxcbc": (
        "000102030405060708090a0b0c0d0e0fedcb",
        "000102030405060708090a0b0c0d0e0f10111213",
        "8cd3c93ae598a9803006ffb67c40e9e4",
    ),
    "prfaescmac": (
        "000102030405060708090a0b0c0d0e0fedcb",
        "000102030405060708090a0b0c0d0e0f10111213",
        "84a348a4a45d235babfffc0d2b4da09a",
    ),
}

# Private value, the other side's public value, shared secret: RFC 5903 section 8, RFC 6932 appendix A, RFC 7748
# sections 6.1 and 6.2
GROUPS = {
    "ecp256": (
        "c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433",
        (
            "d12dfb5289c8d4f81208b70270398c342296970a0bccb74c736fc7554494bf63"
            "56fbf3ca366cc23e8157854c13c58d6aac23f046ada30f8353e74f33039872ab"
        ),
        "d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de",
    ),
    "ecp384": (
        "099f3c7034d4a2c699884d73a375a67f7624ef7c6b3c0f160647b67414dce655e35b538041e649ee3faef896783ab194",
        (
            "e558dbef53eecde3d3fccfc1aea08a89a987475d12fd950d83cfa41732bc509d0d1ac43a0336def96fda41d0774a3571"
            "dcfbec7aacf3196472169e838430367f66eebe3c6e70c416dd5f0c68759dd1fff83fa40142209dff5eaad96db9e6386c"
        ),
        "11187331c279962d93d604243fd592cb9d0a926f422e47187521287e7156c5c4d603135569b9e9d09cf5d4a270f59746",
    ),
    "ecp521": (
        (
            "0037ade9319a89f4dabdb3ef411aaccca5123c61acab57b5393dce47608172a0"
            "95aa85a30fe1c2952c6771d937ba9777f5957b2639bab072462f68c27a57382d4a52"
        ),
        (
            "00d0b3975ac4b799f5bea16d5e13e9af971d5e9b984c9f39728b5e5739735a21"
            "9b97c356436adc6e95bb0352f6be64a6c2912d4ef2d0433ced2b6171640012d9460f"
            "015c68226383956e3bd066e797b623c27ce0eac2f551a10c2c724d9852077b87"
            "220b6536c5c408a1d2aebb8e86d678ae49cb57091f4732296579ab44fcd17f0fc56a"
        ),
        (
            "01144c7d79ae6956bc8edb8e7c787c4521cb086fa64407f97894e5e6b2d79b04"
            "d1427e73ca4baa240a34786859810c06b3c715a3a8cc3151f2bee417996d19f3ddea"
        ),
    ),
    "ecp256bp": (
        "041eb8b1e2bc681bce8e39963b2e9fc415b05283313dd1a8bcc055f11ae49699",
        (
            "8e07e219ba588916c5b06aa30a2f464c2f2acfc1610a3be2fb240b635341f0db148ea1d7d1e7e54b9555b6c9ac90629c"
            "18b63bee5d7aa6949ebbf47b24fde40d"
        ),
        "05e940915549e9f6a4a75693716e37466aba79b4bf2919877a16dd2cc2e23708",
    ),
    "ecp384bp": (
        "014ec0755b78594ba47fb0a56f6173045b4331e74ba1a6f47322e70d79d828d97e095884ca72b73fdabd5910df0fa76a",
        (
            "01bf92a92ee4be8ded1a911125c209b03f99e3161cfcc986dc7711383fc30af9ce28ca3386d59e2c8d72ce1e7b4666e8"
            "3289c4a3a4fee035e39bdb885d509d224a142ff9fbcc5cfe5ccbb30268ee47487ed8044858d31d848f7a95c635a347ac"
        ),
        "04cc4ff3dcccb07af24e0acc529955b36d7c807772b92fcbe48f3afe9a2f370a1f98d3fa73fd0c0747c632e12f1423ec",
    ),
    "ecp512bp": (
        (
            "636b6be0482a6c1c41aa7ae7b245e983392db94cecea2660a379cfe159559e357581825391175fc195d28bac0cf03a78"
            "41a383b95c262b983782874cce6fe333"
        ),
        (
            "5a7954e32663dff11ae24712d87419f26b708ac2b92877d6bfee2bfc43714d89bbdb6d24d807bbd3aeb7f0c325f862e8"
            "bade4f74636b97eaace739e11720d32396d14621a9283a1bed84de8dd64836b2c0758b11441179dc0c54c0d49a47c038"
            "07d171dd544b72caaef7b7ce01c7753e2cad1a861eca55a71954ee1ba35e04be"
        ),
        (
            "1ee8321a4bbf93b9cf8921ab209850ec9b7066d1984ef08c2bb723236208ac8f1a483e79461a00e0d5f6921ce9d36050"
            "2f85c812bedee23ac5b210e5811b191e"
        ),
    ),
    "x25519": (
        "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
        "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
        "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742",
    ),
    "x448": (
        (
            "9a8f4925d1519f5775cf46b04b5800d4ee9ee8bae8bc5565d498c28dd9c9baf5"
            "74a9419744897391006382a6f127ab1d9ac2d8c0a598726b"
        ),
        (
            "3eb7a829b0cd20f5bcfc0b599b6feccf6da4627107bdb0d4f345b43027d8b972"
            "fc3e34fb4232a13ca706dcb57aec3dae07bdc1c67bf33609"
        ),
        (
            "07fff4181ac6cc95ec1c16a94a0f74d12da232ce40a77552281d282bb60c0b56"
            "fd2464c335543936521c24403085d59a449a5037514a879d"
        ),
    ),
}
