"""Every bound and timer of ipsecd, each with its reason.

Seconds are floats or ints named so; sizes are octets. Tests import these names instead of repeating the numbers.
"""

# --- IKE messages -----------------------------------------------------------------------------------------------
MAX_UDP_DATAGRAM = 65_535  # what a socket read can hold
MAX_IKE_DATAGRAM = 16_384  # parsed as one IKE message: post-quantum keys and certificate chains fit
MAX_IKE_MESSAGE = 65_536  # after reassembly (RFC 7383)
MAX_PAYLOADS = 64  # two to three times what any real peer sends
MAX_PROPOSALS = 32
MAX_TRANSFORMS = 64  # per proposal
MAX_ATTRIBUTES = 8  # per transform
MAX_V1_ATTRIBUTES = 16  # of IKEv1, where one transform is a whole suite with lifetimes: twice what peers send
MAX_V1_OFFERED = 16  # suites in an offer of IKEv1: of AH with ESP each is two proposals, as many as we would read
MAX_SELECTORS = 64  # that an SA of ours may have
MAX_SELECTORS_READ = 255  # per TS payload: as many as its count can say
NARROWING_STEPS = 100_000  # selectors of an offer times those of rules it's held against: less than 0.1 s of work
MAX_NOTIFY_DATA = 1_024  # octets kept of a notify; INVALID_SELECTORS quotes a whole packet
MAX_VENDOR_ID = 256  # octets kept of a vendor ID
MAX_IDENTITY = 1_024
MAX_CONFIG_ATTRIBUTES = 64  # per CP payload: addresses, DNS servers and subnets of a large site
MAX_NAME_PARTS = 32  # attributes of a distinguished name
MAX_COOKIE = 64  # RFC 7296 section 2.6
MIN_NONCE, MAX_NONCE = 16, 256  # RFC 7296 section 3.9
MIN_V1_NONCE = 8  # RFC 2409 section 5
MAX_HASH = 64  # SHA-512
MAX_SIGNATURE = 2_048  # of an RSA key of 16,384 bits
MIN_RSA_BITS = 2_048  # NIST SP 800-131A: smaller keys can be factored by whoever is willing to pay for it
MAX_RSA_EXPONENT_BITS = 32  # all that are in use; with long ones a stranger's chain takes a second to be refused
MAX_V1_PADDING = 255  # octets behind the last payload of an encrypted IKEv1 message: some peers add whole blocks
NONCE_OCTETS = 32  # at least half the largest PRF key (RFC 7296 section 2.10)
MAX_CERTIFICATES = 20
MAX_CERTIFICATE = 32_768
MAX_AUTHORITIES = 32  # of one credential: each is a payload of a message, half of all that one may have
MAX_AUTHORITIES_FILE = 1_048_576  # octets; of a bundle for browsers all would be too many
MAX_PROOF = 12_288  # octets of our certificates and of the names of authorities: MAX_IKE_DATAGRAM has room for the rest
MAX_CHAIN_DEPTH = 4  # authorities between an end and the one that is trusted: one or two are usual
MAX_FRAGMENTS = 64  # RFC 7383
MAX_FRAGMENTS_PER_SA = 131_072  # octets held for reassembly: a whole message of each direction
MAX_FRAGMENTS_TOTAL = 16_777_216
MAX_FRAGMENTS_HALF_OPEN = 32_768  # the same before it's known who sends: an IKE_AUTH with a chain of certificates
MAX_FRAGMENTS_HALF_OPEN_TOTAL = 1_048_576
FRAGMENT_TIMEOUT = 30.0
FRAGMENT_SIZE_V4 = 1_280  # IP datagram size of an outgoing fragment; RFC 7383 section 2.5.1
FRAGMENT_SIZE_V6 = 1_280

# --- IKE exchanges ----------------------------------------------------------------------------------------------
RETRANSMIT_FIRST = 2.0  # sends at 0, 2, 5.6, 12, 24, 45 s, gives up at 82 s
RETRANSMIT_FACTOR = 1.8
RETRANSMIT_TRIES = 5
RETRANSMIT_JITTER = 0.1
DPD_TRIES = 3  # a liveness probe gives up sooner, after about 24 s
DPD_IDLE = 30.0  # RFC 7296 section 2.4: only if nothing came back
# of who has called us and not spoken since: until it has our response it can't answer, and it asks for that as long as
# any request is repeated
DPD_FIRST = 90.0
DOUBT_EVERY = 30.0  # probes of one IKE SA because somebody said in clear that the peer has lost it
NAT_KEEPALIVE = 20.0  # RFC 3948 section 4
HALF_OPEN_LIFETIME = 30.0
MAX_V1_REPEATS = 10  # of one answer of phase 1: others ask for it five times, some twice that
MAX_V1_PROOFS = (
    12  # of one phase 1 that are looked at, as certificates cost time: peers repeat theirs five to ten times
)
QUICK_MODE_KEPT = 180.0  # of IKEv1, as its last message is said again on request: others ask for it for 165 s
COMMIT_TRIES = 2  # of the last message of a quick mode while we wait for CONNECTED, about 12 s in all: nobody vouches
# for the bit that asks us to
DELETE_TRIES = 4  # of a delete that Windows answers ([MS-IKEE] section 3.8.6.1), about 45 s in all
QUICK_SETTLES = 0.2  # behind the last message of a quick mode of ours: others take packets by the new SAs, or send by
# them, some milliseconds after they have it, and lose what comes before
QUICK_REPLACED = 60.0  # a pair of SAs that a quick mode of ours has replaced, and by whose successor nothing has come:
# the peer may still wait for the last message, and has asked for it six times by then
FOLLOW_PEER = 3.0  # of two pairs of SAs for the same traffic, the peer sends by the other one for so long: less than it
# takes what comes by the one that we send by (OLD_INBOUND_KEPT)
REPLACED_ISAKMP = 10.0  # an ISAKMP SA that a main mode of ours has replaced, for what is still said by it
MAX_CANDIDATES = 32  # credentials that may be meant by who begins a phase 1 of IKEv1: a proof that can't be read is
# tried with the key of each, which takes some 2 ms in all
MAX_V1_PAIRS = 64  # pairs of selectors of one child that IKEv1 has quick modes for, if no packet says which is needed
MAX_V1_RULES = 1_024  # that a first message of IKEv1 from one address may be for, as of peers without one of their own
PHASE_1_RATE, PHASE_1_BURST = 500.0, 500  # first messages of IKEv1 a second, from all: as it knows no cookies, each
# costs up to a millisecond, and what a flood of them may take is a part of the processor
GIVEN_ADDRESS = 10.0  # seconds in which an address that mode config has given us becomes one of the rule's: it's put on
# a device, and the policy follows
FEW_CALLERS = 64  # from anywhere, by one rule, of whom it's looked up who has SAs for an address
MAX_NOT_ADMITTED = 4  # ISAKMP SAs with one peer that aren't through XAUTH yet: those drive out each other alone
MAX_QUICK_MODES = 64  # of one ISAKMP SA that the peer has begun and not ended: several times what any peer does at once
MAX_TRANSACTIONS = 16  # of one ISAKMP SA that the peer has begun and that may be asked for again: it has one or two
ACCESS_TIME = (
    120.0  # seconds behind phase 1 for XAUTH and mode config, with a person who types and messages that get lost
)
MAX_USER_NAME = 256  # octets
MAX_PASSWORD = 1_024
MAX_USERS = 10_000
MAX_ACCESS_SERVERS = 4  # of a kind, and networks behind them, that a gateway names to those who come in: what fits in a
MAX_ACCESS_SUBNETS = 32  # message without being cut, and more than clients look at
MAX_USERS_FILE = 4_194_304  # octets: those of MAX_USERS, with long names
XAUTH_TRIES, XAUTH_TRIES_WITHIN = 10, 600.0  # passwords for one user, and from one address, in so many seconds
MAX_XAUTH_TRIED = 4_096  # users, and addresses, whose tries are remembered: to be forgotten takes as many others
MAX_PASSWORDS_WAITING = 64  # to be looked at, by one thread: those behind would wait as long as a client does
SCRYPT_LEAST = 14  # binary logarithm of N: what was enough for a log-in when scrypt was new
SCRYPT_MEMORY = 134_217_728  # of one password that is looked at: whoever comes through phase 1 may ask for it
MIN_SALT = 16  # NIST SP 800-132
MAX_MESSAGE_IDS = 65_536  # of one ISAKMP SA: each is remembered, so that none comes twice
MAX_HALF_OPEN = 1_000
MAX_HALF_OPEN_PER_ADDRESS = 5
COOKIE_THRESHOLD = 30  # half-open SAs in all before cookies are asked for
COOKIE_THRESHOLD_PER_ADDRESS = 3
COOKIE_CALM = 10.0  # cookies stay on so long after the last reason for them
COOKIE_SECRET_LIFETIME = 120.0  # then the next secret; the previous one stays valid as long again
COOKIE_SHARE = 0.3  # of the request that it answers: what strangers make us send must not multiply
INIT_RATE, INIT_BURST, INIT_BUCKETS = 20.0, 5, 10_000  # SA_INIT per source address and second
REPEAT_RATE, REPEAT_BURST = 2.0, 10  # IKE_SA_INIT responses sent again per source address and second
ERROR_RATE, ERROR_BURST = 2.0, 10  # unprotected error notifies per source address and second
MAX_SA_INIT_ANSWERS = 4  # taken between one repeat of our IKE_SA_INIT and the next: one is the peer's (RFC 7296 2.4)
MAX_INVALID_KE_ROUNDS = 3
TEMPORARY_FAILURE_FIRST, TEMPORARY_FAILURE_LAST = 2.0, 60.0  # back-off
TEMPORARY_FAILURE_PATIENCE = 240.0  # RFC 7296 section 2.25: who is busy for several minutes is out of step with us
RECONNECT_FIRST, RECONNECT_LAST = 1.0, 60.0  # back-off of a peer that is to be kept up
OTHER_VERSION_KEPT = (
    3_600.0  # calls go by the policy's other version of IKE after one without an answer: trying the first
)
# again costs packets a minute and a half if it still has none
OTHER_VERSION_LEFT = 30.0  # to have by IKEv2 what was made by IKEv1 with a peer that proves to speak the former, too
NARROWED_FIRST, NARROWED_LAST = 6.0, 60.0  # back-off of packets that need more of a child than the peer allows: so long
# another packet, of a part that it would allow, may have to wait too
MAX_HOSTS_CALLED = 1_024  # at a time, of rules that have a child for each pair of hosts: a program that tries addresses
# one by one must not fill the table of IKE SAs with calls that nobody answers
MAX_NEW_HOSTS_CALLED = 768  # while so many are, none that has never answered is: such a program must not keep this
# machine from those that it talks to
OLD_INBOUND_KEPT = 5.0  # after a rekey, for packets still on the way
REFUSALS_REMEMBERED = 64  # IKE_SA_INIT requests whose repeats aren't reported again
IKE_LINGER = 30.0  # an ended IKE SA still answers repeats of its last request: they come at 2, 5.6, 12 and 24 s
REPLACED_KEPT = 90.0  # an IKE SA that a rekey has made needless and whose Delete never comes: longer than the peer
# repeats whatever it asked
OUTBOUND_SWITCH = 90.0  # a rekey responder uses its new outbound SA at the latest after this: a peer that is going to
# get our response has asked for it again by then, and until it has it, only the old SA is sure to reach it
MAX_IKE_SAS = 10_000
MAX_IKE_SAS_PER_PEER = 16  # one is enough, or as many as ``sessions`` asks for, which come on top; heirs, crossed calls
# and what a restarted peer has forgotten come and go. The oldest ends, so that no one credential uses up MAX_IKE_SAS
MAX_IKE_SAS_PER_PATTERN = 8_000  # of all hosts of rules without a tunnel that may share a credential: who has it may be
# many hosts, with IPv6 at least, and mustn't use up what tunnels need
MAX_CHILDREN_PER_IKE_SA = 1_024
MAX_REKEYED_PER_IKE_SA = 2_048  # the same with those rekeyed whose Delete hasn't come: all may be rekeyed at once. Of a
# peer of IKEv1 these are all pairs that it may have begun
DELETES_REMEMBERED = 64  # child SPIs deleted while a request of ours for a child is on its way; it makes just one

# --- lifetimes --------------------------------------------------------------------------------------------------
IKE_LIFETIME = 28_800.0
CHILD_LIFETIME = 3_600.0
REKEY_MARGIN = 540.0
REKEY_MARGIN_MIN = 90.0
REKEY_FUZZ = 0.5  # the margin is stretched by 0 to 50 %
SOFT_PACKETS = 1 << 31
HARD_PACKETS = (1 << 32) - (1 << 16)  # without extended sequence numbers
SMALL_BLOCK_OCTETS = 1 << 30  # with one key of DES or Triple DES: blocks of 64 bits repeat after some 2^32 of them

# --- data plane -------------------------------------------------------------------------------------------------
REPLAY_WINDOW = 1_024
REPLAY_WINDOW_MIN, REPLAY_WINDOW_MAX = 64, 8_192
ACQUIRE_QUEUE = 64  # packets kept per policy entry while it negotiates; the oldest is dropped
MAX_WAITING = 10_000  # children for which packets wait, or have waited lately: one for each IKE SA there may be
WAITING_SERVED = 2_500  # of these, for those that have had an SA: while a program tries hosts one by one they are asked
# for all the same
WAITING_REST = 0.1  # seconds between two looks for those that can be forgotten, of about a millisecond each
WAITING_OCTETS = 16_777_216  # of all packets that wait: a full queue for 170 of them, some for all
MAX_FLOWS = 65_536  # SPD cache entries
BOXES_IN_A_BLOCK = 512  # of an index: a look-up takes some 2 µs for each block, and a box some 200 octets for each axis
PMTU_AGE = 600.0  # RFC 4301 section 8.2.2: a path MTU that ICMP told ages out
PMTU_FLOOR_V4, PMTU_FLOOR_V6 = 576, 1_280  # unauthenticated ICMP never lowers a path below
PMTU_FLOOR_BLIND = 1_200  # nor below this if it doesn't show an SPI: whoever forges it need not even guess one
TOO_BIG_RATE, TOO_BIG_BURST = 200.0, 200  # ICMP errors a second that we send to hosts, to all of them together
TOO_BIG_HOST_RATE, TOO_BIG_HOST_BURST, TOO_BIG_HOSTS = 10.0, 10, 1_024  # and to each; how many are remembered
REASSEMBLY_TIME = 5.0  # for the rest of a packet's fragments: the kernel hands them over one right behind the other
REASSEMBLY_OCTETS = 4_194_304  # of fragments that wait: 64 of the largest packets there are
REASSEMBLY_OVERHEAD = 256  # octets that each of them counts more than it has, as many small ones take memory too
MIN_PADDING = 64  # octets that packets are padded to; hardly any has less
MAX_DUMMIES = 1_000  # a second for one SA, as each costs what a packet does: at 1,500 octets 12 Mbit/s
MAX_PATHS = 10_000  # remembered path MTUs: one for each IKE SA there may be
MAX_EXTENSION_HEADERS = 8  # of an IPv6 packet: each kind once, destination options twice, and some room
TUN_QUEUE = 1_000  # packets, or runs, that wait in the kernel for the road out: as of a network card
MAX_LENT_ROUTES = 64  # to what lies behind one gateway that lends us an address: as many as an SA has selectors
TUN_MTU = 1_438  # leaves as 1,500 octets with AES-GCM in UDP over IPv4; who has less room learns it by ICMP
LINK_MTU = 1_500  # of a path the kernel has said nothing about
MAX_SOFT_SAS = 1_024  # peers talked to in clear at a time: more is no exception any more
MAX_SOFT_SAS_PER_RULE = 768  # a program that tries all hosts of a rule leaves some to the other rules
MAX_RESPONSES = (
    512  # pairs of selectors that hosts may have the default response protect: the floor holds each about ten
)
# times, and is made anew for each host, while other negotiations wait
MAX_RESPONSE_PAIRS = 32  # of these, for one host
RESPONSE_KEPT = 1.0  # seconds for which the floor keeps what such an SA protected, as its host may just begin anew
MAX_FAILED_HOSTS = 1_024  # hosts of which it is remembered what went wrong: as many as are called at a time
SHOWN_HOSTS = 10  # of each rule, in a status: it is for people
MAX_HEARD = 10_000  # peers remembered that have answered: one for each IKE SA there may be
MAX_SPOKEN = (
    10_000  # identities remembered that speak IKEv2, whatever policy they are of: one for each IKE SA there may be
)
ACQUIRE_AGAIN = 3.0  # a policy entry whose negotiation ended without a usable SA isn't asked for again sooner
ACQUIRE_LOSSES = 3  # so often in a row a child whose SA was of use and is gone is asked for at once
ACQUIRE_STALE = 90.0  # later than any negotiation gives up: an acquire nobody answered is sent again
RECEIVE_BUFFER = 65_536  # what the kernel hands over of one sender in one read; of more it would lose the rest
NATIVE_BUFFER = 65_575  # the largest IP packet, which is one of IPv6 with its header
NATIVE_READ = 73_728  # octets of native packets read together: 64 KiB of TCP, with what encloses each segment
SOCKET_BUFFER = 4_194_304  # receive buffer of a UDP socket: about 30 ms at 1 Gbit/s while something else is done
PEER_ALIVE_EVERY = 1.0  # authentic inbound traffic is reported this often at most
USE_TOLD_EVERY = 2.0  # seconds between two looks at which of the SAs were used that end when none goes by them
MIN_INACTIVITY = 5  # seconds after which such an SA may end: more than one such look, and the time to negotiate
ESN_RESYNC_AFTER = 1_024  # ICV failures in a row, then one packet is tried with later high halves (RFC 4303 A3)
ESN_RESYNC_TRIES = 4
MAX_CONTROL_FRAME = 1_048_576  # one message between control and roads: the counters of 10,000 SAs, with room
SPD_PART = 256  # entries of the SPD in one of them: most are less than 64 KB then
CHANNEL_BUFFER = 4_194_304  # of messages on their way between control and one road
CHANNEL_DESCRIPTORS = 8  # that come with one of them: a TUN device and a few sockets
CHANNEL_WAITING = 4_096  # reports of a road that control hasn't had room for: one for each SA, about
PLANE_START = 20.0  # seconds that the processes of the data plane may take to begin
PLANE_ANSWER = 1.0  # to tell what they have counted
PLANE_PROBE = 5.0  # each is asked so often whether it's there
PLANE_LOOKS = 10  # so often in a row, a second apart, it still owes the same answer: it's stuck, as its turns are short
PLANE_END = 2.0  # and to end, once they are told
PLANE_DEATHS, PLANE_DEATHS_WITHIN = 5, 60.0  # so often in so many seconds they are started again; then it's no accident
PLANE_FAULT_KINDS = 64  # by which faults are counted that processes tell of; our own are some twenty
PLANE_FAULTS = 5.0  # faults a second that a process tells of, a traceback each; all are counted
RENEGOTIATE_AT_ONCE, RENEGOTIATE_REST = 16, 0.1  # child SAs whose other half died with a process, and the pause then
COLLECT_EVERY = 10.0  # seconds between two looks for garbage in a road's process, if it's idle then
COLLECT_BUSY = 120.0  # and if it isn't

# --- kernel -----------------------------------------------------------------------------------------------------
FEW_FLOWS = 16  # of a chain of the floor: up to so many are a rule each, one after the other, and can be read so
LEAF = 4  # of many flows, so many are left at the end of a way through the tree: one more comparison costs as much
DEPTH = 10  # chains of the tree behind each other: the kernel takes 16 with those around it
TWICE = 1  # flows that stand in the tree more than once, at most, for each that there is
TURNS = 4  # trees of a chain, one behind the other
FLOOR_WORDS = 16_384  # words and boxes of flows that are remembered: each is asked for in many chains
REMEMBERED_PARTS = 24_576  # of trees, and flows: a floor of 1,000 rules has 7,500 of each, one more rule some hundred
CLEARLY = 0.97  # so much of what the best cut so far costs, another may cost that takes its place
NFT_TIME = 30.0  # seconds for one run of nft; 1,000 rules take well below one
KNOWN_RULES = 24_576  # that nft has translated: those of two floors of 1,000 rules, in some 15 MB
TABLE_READS = 16  # of a table that others change meanwhile, until it's plain that they don't stop
RESTORES, RESTORE_WITHIN = 6, 60.0  # so often in so many seconds, kernel state is put back at once; then
RESTORE_PAUSE = 5.0  # after this long, so that a quarrel with another program doesn't take the machine

# --- logs and control -------------------------------------------------------------------------------------------
UNAUTHENTICATED_LOG_RATE = 5.0  # lines a second about datagrams nobody vouches for
UNREACHED_AGAIN = 60.0  # seconds until a line says again that an SA's packets don't get there: each may cause an error
UNREACHED_KNOWN = 2 * UNREACHED_AGAIN  # for which that is believed to be so still, if it isn't said again
LOSSES_INTERVAL = 60.0  # seconds between looks at what was dropped: a flood makes a line a minute for each filter
CONTROL_CLIENTS = 64
CONTROL_LINE = 1_048_576
CONTROL_ANSWER = 67_108_864  # a client reads so much of one answer: a policy of 10,000 entries takes a tenth of it
MAX_POLICY_FILE = 1_048_576
MAX_POLICY_DEPTH = 32
SHOWN_RULES = 20  # of those that a new policy adds, removes or changes, for people; --json has all
SHOWN_SELECTORS = 4  # of one side of an SA or an offer, in a log field
LOGGED_TEXT = 256  # characters of peer-chosen text in a log field
LOGGED_REASON = 1_024  # characters of a whole reason, our words and the peer's
LOG_QUEUE = 10_000  # lines waiting for a log reader that is slow; further ones are dropped and counted
LOG_FLUSH = 1.0  # seconds that an exit waits for those lines
CONTROL_FIRST_REQUEST = 5.0  # a client that has asked nothing by then makes room for others
CONTROL_IDLE = 60.0  # between requests
CONTROL_BACKLOG = 1_048_576  # octets of events waiting for a slow client; then it's cut off
CREDENTIAL_OCTETS = 65_536
CREDENTIAL_COMMAND_TIME = 10.0
STRONG_PSK = 20  # octets; a shorter pre-shared key is warned about
RESOLVE_TIME = 10.0  # for the system's resolver to answer; then a DNS name is asked for again
RESOLVE_TTL_TIME = 1.0  # for the DNS to say for how long an answer counts; the answer itself waits for it
RESOLVE_LEAST, RESOLVE_MOST = 2.0, 300.0  # seconds for which an answer counts, whatever its TTL: below, names of short
# TTLs are asked for all the time, also when attempt after attempt fails; above, a mistaken TTL of a day lasts a day
RESOLVE_UNTOLD = 3.0  # the same of one without a TTL, as from /etc/hosts, and of none: with RESOLVE_TTL_TIME less than
# the 5 seconds within which a change is to be followed
RESOLVE_REST = 0.5  # after names have changed: others that change with them are followed together
RESOLVE_THREADS = 64  # names that are asked for at once: each has a thread, which may hang longer than anybody waits
MEANING_KEPT = 86_400.0  # seconds for which a DNS name means what it did, though no policy in force has it any more
MAX_MEANINGS = 1_000  # such names: as many as the rules of a large policy have
SETS_AGAIN = 2.0  # seconds between two looks at well-known sets
SETS_SHARE = 20.0  # and so much longer than the look before took: it must not be what the processor does
MAX_SET = 64  # addresses that a well-known set has at most; those beyond are left out
MAX_SYSTEM_FILE = 65_536  # octets read of a file of the system that names some of them, from its end
LOOK_AGAIN = 60.0  # the ways to the peers are looked at so often: other routes may have changed than are watched
SLEPT = 1.0  # seconds of suspend that count: less is the two clocks being read one after the other
ROUTES_REST = 1.0  # after the first of other routes that have changed: with what follows, within the 5 seconds
MAX_PARTS = 2_048  # of all addresses that routes tell apart, where rules ask for one type of connection: the kernel is
# asked of each, which takes half a millisecond
ADDRESS_REST = 0.2  # after this machine's addresses were looked at: a link that flaps mustn't take the processor
BURST = 64  # packets or datagrams taken from one descriptor before the others have their turn
BURST_OCTETS = 262_144  # likewise, of big ones: about half a millisecond
SEND_TRIES = 4  # of one datagram, as an ICMP error about another makes a send fail whoever it is for
UDP_ENDS = 4_096  # remote ends, and what goes or comes with their datagrams, that are kept in the form wanted next
SOCKET_ERRORS = 256  # entries of a socket's error queue read in one turn; they fill the receive buffer
GOODBYE = 0.2  # seconds between the Deletes of a stop and the closing of the sockets, for the answers
EXIT_TIME = 3.0  # what a stop may take
KEYLOG_LINES = 4_096  # of each kind, kept for export; the oldest go first

# --- policies ---------------------------------------------------------------------------------------------------
MIN_LIFETIME, MAX_LIFETIME = 10, 604_800  # seconds of an SA: below it never rests, above it never changes
MIN_KILOBYTES = 1_024  # less is gone within the rekey itself
MAX_KILOBYTES = 1 << 40  # a week at 10 Gbit/s; as octets well inside a 64-bit counter
MIN_PACKETS = 1_000
MAX_LIFETIME_PACKETS = (1 << 32) - 1  # SOFT_PACKETS comes first anyway
MAX_POLICY_TEXT = 4_096  # characters of a description, a path, an argument
MAX_FILTERS = 10_000  # of a file's rules, shared ones counted for each rule
PMTU_AGE_MIN, PMTU_AGE_MAX = 60, 86_400  # sooner, each large packet is lost once more; later, a forgery lasts a day
MAX_MISTAKES = 100  # shown of one file
MAX_SUGGESTIONS = 1_000  # names among which the one that was meant is looked for: a few milliseconds a mistake
MAX_OVERLAP_STEPS = 500_000  # of looking for filters that overlap, and once more for those of one rank: about a second
