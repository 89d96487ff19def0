"""The numbers of IKEv1 as enums: RFC 2407, RFC 2408, RFC 2409, what IANA added since, and the private ones in use.

Where IKEv2 has kept a registry (groups, and the types of identities that are names), it is the one of ``registry``.
"""

from __future__ import annotations

from enum import IntFlag

from ipsecd.wire.registry import OpenEnum

IPSEC_DOI = 1  # RFC 2407 section 4.1; 0 is ISAKMP's own
IDENTITY_ONLY = 1  # the one situation we know: RFC 2407 section 4.2


class Exchange(OpenEnum):  # RFC 2408 section 3.1, RFC 2409 appendix A
    BASE = 1
    MAIN = 2  # identity protection
    AUTHENTICATION_ONLY = 3
    AGGRESSIVE = 4
    INFORMATIONAL = 5
    TRANSACTION = 6  # mode config and XAUTH
    QUICK = 32
    NEW_GROUP = 33
    AUTHIP_MAIN = 243  # [MS-AIPS] section 2.2.1
    AUTHIP_QUICK = 244
    AUTHIP_EXTENDED = 245
    AUTHIP_NOTIFY = 246


class Flag(IntFlag):  # RFC 2408 section 3.1
    NONE = 0
    ENCRYPTION = 0x01
    COMMIT = 0x02
    AUTHENTICATION_ONLY = 0x04


class Payload(OpenEnum):  # RFC 2408 section 3.1
    NONE = 0
    SA = 1
    PROPOSAL = 2  # inside SA alone
    TRANSFORM = 3  # inside a proposal alone
    KE = 4
    ID = 5
    CERT = 6
    CERTREQ = 7
    HASH = 8
    SIGNATURE = 9
    NONCE = 10
    NOTIFY = 11
    DELETE = 12
    VENDOR_ID = 13
    ATTRIBUTES = 14  # mode config
    NAT_D_LATER_DRAFTS = 15  # draft-ietf-ipsec-nat-t-ike-04 to -08
    NAT_OA_LATER_DRAFTS = 16
    NAT_D = 20  # RFC 3947
    NAT_OA = 21
    GSS = 129  # draft-ietf-ipsec-isakmp-gss-auth
    NAT_D_DRAFTS = 130  # draft-ietf-ipsec-nat-t-ike-00 to -03
    NAT_OA_DRAFTS = 131
    FRAGMENT = 132  # [MS-IKEE] section 2.2.3.1


class Protocol(OpenEnum):  # RFC 2407 section 4.4.1
    NONE = 0
    ISAKMP = 1
    AH = 2
    ESP = 3
    IPCOMP = 4


class IdType(OpenEnum):  # RFC 2407 section 4.6.2.1
    IPV4_ADDR = 1
    FQDN = 2
    USER_FQDN = 3
    IPV4_ADDR_SUBNET = 4
    IPV6_ADDR = 5
    IPV6_ADDR_SUBNET = 6
    IPV4_ADDR_RANGE = 7
    IPV6_ADDR_RANGE = 8
    DER_ASN1_DN = 9
    DER_ASN1_GN = 10
    KEY_ID = 11
    LIST = 12  # RFC 3554
    IPV6_CGA = 250  # [MS-IKEE] section 2.2.5


class CertEncoding(OpenEnum):  # RFC 2408 section 3.9
    NONE = 0
    PKCS7 = 1
    PGP = 2
    DNS_SIGNED_KEY = 3
    X509_SIGNATURE = 4
    X509_KEY_EXCHANGE = 5
    KERBEROS_TOKEN = 6
    CRL = 7
    ARL = 8
    SPKI = 9
    X509_ATTRIBUTE = 10


class NotifyType(OpenEnum):  # RFC 2408 section 3.14.1, RFC 2407 section 4.6.3
    INVALID_PAYLOAD_TYPE = 1
    DOI_NOT_SUPPORTED = 2
    SITUATION_NOT_SUPPORTED = 3
    INVALID_COOKIE = 4
    INVALID_MAJOR_VERSION = 5
    INVALID_MINOR_VERSION = 6
    INVALID_EXCHANGE_TYPE = 7
    INVALID_FLAGS = 8
    INVALID_MESSAGE_ID = 9
    INVALID_PROTOCOL_ID = 10
    INVALID_SPI = 11
    INVALID_TRANSFORM_ID = 12
    ATTRIBUTES_NOT_SUPPORTED = 13
    NO_PROPOSAL_CHOSEN = 14
    BAD_PROPOSAL_SYNTAX = 15
    PAYLOAD_MALFORMED = 16
    INVALID_KEY_INFORMATION = 17
    INVALID_ID_INFORMATION = 18
    INVALID_CERT_ENCODING = 19
    INVALID_CERTIFICATE = 20
    CERT_TYPE_UNSUPPORTED = 21
    INVALID_CERT_AUTHORITY = 22
    INVALID_HASH_INFORMATION = 23
    AUTHENTICATION_FAILED = 24
    INVALID_SIGNATURE = 25
    ADDRESS_NOTIFICATION = 26
    NOTIFY_SA_LIFETIME = 27
    CERTIFICATE_UNAVAILABLE = 28
    UNSUPPORTED_EXCHANGE_TYPE = 29
    UNEQUAL_PAYLOAD_LENGTHS = 30
    CONNECTED = 16384
    RESPONDER_LIFETIME = 24576
    REPLAY_STATUS = 24577
    INITIAL_CONTACT = 24578
    R_U_THERE = 36136  # RFC 3706 section 5.2
    R_U_THERE_ACK = 36137
    MS_STATUS = 40003  # [MS-IKEE] section 2.2.6
    MS_DOS_COOKIE = 40004
    MS_EXCHANGE_INFO = 40005
    CISCO_LOAD_BALANCE = 40501

    @property
    def is_error(self) -> bool:
        """Types below 8192 are errors, those below 16384 private ones (RFC 2408 section 3.14.1)."""
        return self.value < 16384


class OakleyAttribute(OpenEnum):  # of a transform of phase 1: RFC 2409 appendix A
    ENCRYPTION = 1
    HASH = 2
    AUTHENTICATION = 3
    GROUP = 4
    GROUP_TYPE = 5
    GROUP_PRIME = 6
    GROUP_GENERATOR_ONE = 7
    GROUP_GENERATOR_TWO = 8
    GROUP_CURVE_A = 9
    GROUP_CURVE_B = 10
    LIFE_TYPE = 11
    LIFE_DURATION = 12
    PRF = 13
    KEY_LENGTH = 14
    FIELD_SIZE = 15
    GROUP_ORDER = 16
    GSS_IDENTITY = 16384  # draft-ietf-ipsec-isakmp-gss-auth


class OakleyTransform(OpenEnum):  # RFC 2407 section 4.4.2
    KEY_IKE = 1


class OakleyEncryption(OpenEnum):  # RFC 2409 appendix A, RFC 3602, RFC 4312
    DES_CBC = 1
    IDEA_CBC = 2
    BLOWFISH_CBC = 3
    RC5_CBC = 4
    TRIPLE_DES_CBC = 5
    CAST_CBC = 6
    AES_CBC = 7
    CAMELLIA_CBC = 8


class OakleyHash(OpenEnum):  # RFC 2409 appendix A, RFC 4868 section 4
    MD5 = 1
    SHA1 = 2
    TIGER = 3
    SHA2_256 = 4
    SHA2_384 = 5
    SHA2_512 = 6


class OakleyAuth(OpenEnum):  # RFC 2409 appendix A, and the drafts of XAUTH and GSS-API
    PSK = 1
    DSS_SIGNATURE = 2
    RSA_SIGNATURE = 3
    RSA_ENCRYPTION = 4
    REVISED_RSA_ENCRYPTION = 5
    ECDSA_256 = 9  # RFC 4754
    ECDSA_384 = 10
    ECDSA_521 = 11
    HYBRID_INIT_RSA = 64221
    HYBRID_RESP_RSA = 64222
    HYBRID_INIT_DSS = 64223
    HYBRID_RESP_DSS = 64224
    XAUTH_INIT_PSK = 65001  # of a Windows peer Kerberos by GSS-API: the vendor IDs say which is meant
    XAUTH_RESP_PSK = 65002
    XAUTH_INIT_DSS = 65003
    XAUTH_RESP_DSS = 65004
    XAUTH_INIT_RSA = 65005  # of a Windows peer CGA ([MS-IKEE] section 2.2.4)
    XAUTH_RESP_RSA = 65006


class LifeType(OpenEnum):  # RFC 2407 section 4.5, RFC 2409 appendix A
    SECONDS = 1
    KILOBYTES = 2


class SaAttribute(OpenEnum):  # of a transform of phase 2: RFC 2407 section 4.5
    LIFE_TYPE = 1
    LIFE_DURATION = 2
    GROUP = 3
    ENCAPSULATION = 4
    AUTHENTICATION = 5
    KEY_LENGTH = 6
    KEY_ROUNDS = 7
    COMPRESSION_DICTIONARY_SIZE = 8
    COMPRESSION_PRIVATE_ALGORITHM = 9
    ECN_TUNNEL = 10  # RFC 3168 section 9.2.1.1
    ESN = 11  # RFC 4304


class Encapsulation(OpenEnum):  # RFC 2407 section 4.5, RFC 3947 section 5.1
    TUNNEL = 1
    TRANSPORT = 2
    UDP_TUNNEL = 3
    UDP_TRANSPORT = 4
    UDP_TUNNEL_DRAFTS = 61443  # draft-ietf-ipsec-nat-t-ike-00 to -03
    UDP_TRANSPORT_DRAFTS = 61444


class SaAuth(OpenEnum):  # RFC 2407 section 4.5 and what IANA added
    NONE = 0
    HMAC_MD5 = 1
    HMAC_SHA1 = 2
    DES_MAC = 3
    KPDK = 4
    HMAC_SHA2_256 = 5  # RFC 4868
    HMAC_SHA2_384 = 6
    HMAC_SHA2_512 = 7
    HMAC_RIPEMD = 8
    AES_XCBC = 9  # RFC 3566
    AES_128_GMAC = 11  # RFC 4543
    AES_192_GMAC = 12
    AES_256_GMAC = 13


class AhTransform(OpenEnum):  # RFC 2407 section 4.4.3 and what IANA added
    MD5 = 2
    SHA1 = 3
    DES = 4
    SHA2_256 = 5
    SHA2_384 = 6
    SHA2_512 = 7
    RIPEMD = 8
    AES_XCBC = 9
    AES_128_GMAC = 11
    AES_192_GMAC = 12
    AES_256_GMAC = 13


class EspTransform(OpenEnum):  # RFC 2407 section 4.4.4 and what IANA added
    DES_IV64 = 1
    DES = 2
    TRIPLE_DES = 3
    RC5 = 4
    IDEA = 5
    CAST = 6
    BLOWFISH = 7
    NULL = 11
    AES_CBC = 12
    AES_CTR = 13
    AES_CCM_8 = 14
    AES_CCM_12 = 15
    AES_CCM_16 = 16
    AES_GCM_8 = 18
    AES_GCM_12 = 19
    AES_GCM_16 = 20
    CAMELLIA_CBC = 22
    NULL_AUTH_AES_GMAC = 23


class ConfigAttribute(OpenEnum):  # draft-dukes-ike-mode-cfg-02, draft-beaulieu-ike-xauth-02, Cisco Unity
    INTERNAL_IP4_ADDRESS = 1
    INTERNAL_IP4_NETMASK = 2
    INTERNAL_IP4_DNS = 3
    INTERNAL_IP4_NBNS = 4
    INTERNAL_ADDRESS_EXPIRY = 5
    INTERNAL_IP4_DHCP = 6
    APPLICATION_VERSION = 7
    INTERNAL_IP6_ADDRESS = 8
    INTERNAL_IP6_NETMASK = 9
    INTERNAL_IP6_DNS = 10
    INTERNAL_IP6_NBNS = 11
    INTERNAL_IP6_DHCP = 12
    INTERNAL_IP4_SUBNET = 13
    SUPPORTED_ATTRIBUTES = 14
    INTERNAL_IP6_SUBNET = 15
    XAUTH_TYPE = 16520
    XAUTH_USER_NAME = 16521
    XAUTH_USER_PASSWORD = 16522
    XAUTH_PASSCODE = 16523
    XAUTH_MESSAGE = 16524
    XAUTH_CHALLENGE = 16525
    XAUTH_DOMAIN = 16526
    XAUTH_STATUS = 16527
    XAUTH_NEXT_PIN = 16528
    XAUTH_ANSWER = 16529
    UNITY_BANNER = 28672
    UNITY_SAVE_PASSWORD = 28673
    UNITY_DEFAULT_DOMAIN = 28674
    UNITY_SPLIT_DNS = 28675
    UNITY_SPLIT_INCLUDE = 28676
    UNITY_LOCAL_LAN = 28678
    UNITY_PFS = 28679
    UNITY_BACKUP_SERVERS = 28681


class XauthType(OpenEnum):  # draft-beaulieu-ike-xauth-02 section 6.3
    GENERIC = 0
    RADIUS_CHAP = 1
    OTP = 2
    SKEY = 3


class XauthStatus(OpenEnum):  # draft-beaulieu-ike-xauth-02 section 6.2
    FAIL = 0
    OK = 1
