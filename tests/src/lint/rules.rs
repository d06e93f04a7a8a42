//! The rules, and when each is not judged.

/// A rule that senders of SCTP must keep, as far as a capture can show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name, in lower case with hyphens.
    pub name: &'static str,
    /// The section that it comes from.
    pub section: &'static str,
    /// What it says, in a sentence.
    pub says: &'static str,
    /// The circumstances in which it is not judged, because a good sender could look like a bad
    /// one.
    pub unless: &'static [Unless],
}

/// A known exception: circumstances in which some rules cannot be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unless {
    /// The captures may lack packets.
    Partial,
    /// Packets may have been captured in another order than they were sent in.
    Reordered,
    /// The packet was not captured at its sender.
    Far,
    /// Something lost or delayed packets on purpose.
    Disturbed,
}

impl Unless {
    /// All of them.
    pub const ALL: [Unless; 4] =
        [Unless::Partial, Unless::Reordered, Unless::Far, Unless::Disturbed];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Unless::Partial => "partial",
            Unless::Reordered => "reordered",
            Unless::Far => "far",
            Unless::Disturbed => "disturbed",
        }
    }

    /// Why good senders could look bad in these circumstances, in a sentence.
    pub const fn reason(self) -> &'static str {
        match self {
            Unless::Partial => {
                "the capture began in the middle, lost packets, or does not show all links, so an \
                 answer may seem to answer nothing"
            }
            Unless::Reordered => {
                "a wire before the capture reorders or duplicates packets, so an older state may \
                 come after a newer one"
            }
            Unless::Far => {
                "packets may be lost, late or translated between the sender and the capture, so \
                 what is missing or changed may not be the sender's doing"
            }
            Unless::Disturbed => {
                "a test cuts links, limits rates or loses packets, so packets in the capture may \
                 not have arrived, and others may have been lost before it"
            }
        }
    }
}

macro_rules! rules {
    ($($name:ident $text:literal, $section:literal, $says:literal, [$($unless:ident)*];)*) => {
        $(
            #[doc = $says]
            #[doc = concat!("(", $section, ")")]
            pub const $name: Rule =
                Rule {
                    name: $text,
                    section: $section,
                    says: $says,
                    unless: &[$(Unless::$unless),*],
                };
        )*

        /// All rules, by subject.
        pub const ALL: &[&Rule] = &[$(&$name),*];
    };
}

rules! {
    // The format of packets.
    PORTS "ports", "RFC 9260, 3.1", "No port is 0.", [];
    WHOLE_CHUNKS "whole-chunks", "RFC 9260, 3.2",
        "A packet consists of one or more whole chunks.", [];
    LENGTH_OF_4 "length-of-4", "RFC 9260, 3.2",
        "The length of a packet is a multiple of 4 bytes.", [];
    PADDING "padding", "RFC 9260, 3.2", "Chunks and parameters are padded with zero bytes.", [];
    CHUNK_LENGTH "chunk-length", "RFC 9260, 3.3",
        "The length of a chunk fits its type and the counts in it.", [];
    KNOWN_CHUNKS "known-chunks", "RFC 9260, 3.2",
        "Only the chunks of RFC 9260 and PAD (RFC 4820) are sent, because no others are \
         negotiated.", [];
    RESERVED_FLAGS "reserved-flags", "RFC 9260, 3.2", "Reserved flags are 0.", [];
    CONTROL_FIRST "control-first", "RFC 9260, 6.10", "Control chunks come before DATA.", [];
    ALONE "alone", "RFC 9260, 6.10",
        "INIT, INIT ACK and SHUTDOWN COMPLETE are alone in their packets.", [];
    COOKIE_FIRST "cookie-first", "RFC 9260, 5.1",
        "COOKIE ECHO and COOKIE ACK are the first chunks of their packets.", [];
    ABORT_LAST "abort-last", "RFC 9260, 3.3.7",
        "Nothing follows an ABORT, and no DATA shares its packet.", [];
    NO_DATA_WITH_SHUTDOWN "no-data-with-shutdown", "RFC 9260, 9.2",
        "DATA shares no packet with SHUTDOWN or SHUTDOWN ACK.", [];
    ONE_SACK "one-sack", "RFC 9260, 6.2", "A packet has at most one SACK.", [];
    PARAMETERS "parameters", "RFC 9260, 3.2.1",
        "Parameters and error causes fill their chunk, with lengths that fit.", [];
    FINAL_PADDING "final-padding", "RFC 9260, 3.2",
        "The length of ERROR and ABORT does not include the padding of the last cause.", [];
    HEARTBEAT_INFO "heartbeat-info", "RFC 9260, 3.3.5",
        "A HEARTBEAT holds exactly one Heartbeat Info, with room for a nonce of 64 bits.", [];
    MTU "mtu", "RFC 9260, 7.3", "No IP packet is larger than the MTU.", [];
    OVERSIZE_ALONE "oversize-alone", "RFC 9260, 6.9",
        "A packet that IP had to fragment holds at most one DATA chunk.", [];

    // The setup.
    ZERO_TAG "zero-tag", "RFC 9260, 8.5.1",
        "The verification tag is 0 in packets with INIT, and in no others.", [];
    INITIATE_TAG "initiate-tag", "RFC 9260, 3.3.2", "No initiate tag is 0.", [];
    INIT_WINDOW "init-window", "RFC 9260, 3.3.2",
        "INIT and INIT ACK offer a window of at least 1500 bytes.", [];
    INIT_STREAMS "init-streams", "RFC 9260, 3.3.2",
        "INIT and INIT ACK have streams in both directions.", [];
    ANSWERED_STREAMS "answered-streams", "RFC 9260, 3.3.3",
        "An INIT ACK has no more outbound streams than the INIT allows.", [Partial];
    ONE_COOKIE "one-cookie", "RFC 9260, 3.3.3",
        "An INIT ACK has one State Cookie, and an INIT has none.", [];
    LISTED_ADDRESSES "listed-addresses", "RFC 9260, 3.3.2.1",
        "Listed addresses are unicast and listed once, with no IPv4 address in IPv6 form, no \
         loopback address except on loopback, and no host name.", [];
    SAME_INIT "same-init", "RFC 9260, 5.1",
        "An INIT that is sent again is unchanged, except for a Cookie Preservative.", [];
    INIT_ACK_TO_SOURCE "init-ack-to-source", "RFC 9260, 5.1",
        "An INIT ACK goes from the destination of the INIT to its source.", [Partial];
    RECEIVER_TAG "receiver-tag", "RFC 9260, 8.5",
        "The verification tag is one that the receiver has offered.", [Partial];
    REFLECTED_TAG "reflected-tag", "RFC 9260, 8.5.1",
        "With the T bit, the verification tag is one that the receiver has sent.", [Partial];
    COOKIE_UNCHANGED "cookie-unchanged", "RFC 9260, 5.1",
        "A COOKIE ECHO is the State Cookie of an INIT ACK with that tag.", [Partial];
    COOKIE_ECHO_FIRST "cookie-echo-first", "RFC 9260, 5.1",
        "Before the COOKIE ACK, the end that calls sends only COOKIE ECHO, DATA after it, and \
         answers to HEARTBEATs.", [Partial];
    NOTHING_BEFORE_COOKIE_ECHO "nothing-before-cookie-echo", "RFC 9260, 5.1",
        "Before the COOKIE ECHO, the other end sends only INIT ACK or ABORT.", [Partial];
    COOKIE_ACK_ANSWERS "cookie-ack-answers", "RFC 9260, 5.1",
        "A COOKIE ACK goes to where a COOKIE ECHO came from.", [Partial];

    KNOWN_PARAMETERS "known-parameters", "RFC 9260, 3.2.1",
        "INIT and INIT ACK hold only the parameters of RFC 9260, because no others are \
         implemented.", [];
    REPORTED_PARAMETERS "reported-parameters", "RFC 9260, 3.2.1",
        "An INIT ACK reports exactly those parameters of the INIT that its sender does not know \
         and whose upper bits ask for a report, unchanged, up to the first that stops processing. \
         Beyond 128 bytes, reports may be left out.", [];

    // Sending data.
    DATA_NOT_EMPTY "data-not-empty", "RFC 9260, 3.3.1", "DATA holds at least one byte.", [];
    TSNS_IN_PACKET "tsns-in-packet", "RFC 9260, 6.10", "The TSNs in a packet ascend.", [];
    INITIAL_TSN "initial-tsn", "RFC 9260, 5.1", "No TSN is before the initial one.", [];
    TSNS_CONSECUTIVE "tsns-consecutive", "RFC 9260, 6",
        "New TSNs are consecutive.", [Partial Far Disturbed];
    SAME_RETRANSMISSION "same-retransmission", "RFC 9260, 6",
        "A TSN always carries the same stream, number, protocol, fragment flags and bytes.", [];
    FRAGMENTS "fragments", "RFC 9260, 6.9",
        "The fragments of a message have consecutive TSNs and the same stream, and the first and \
         the last are marked.", [];
    SSNS_CONSECUTIVE "ssns-consecutive", "RFC 9260, 6.5",
        "The ordered messages of a stream are numbered consecutively from 0.", [];
    STREAMS_NEGOTIATED "streams-negotiated", "RFC 9260, 5.1.1",
        "Data goes to streams that both ends agreed on.", [];
    WINDOW "window", "RFC 9260, 6.1 A",
        "Outstanding data, without what is reported missing, exceeds the offered window by at most \
         one chunk.", [Partial Disturbed];
    INITIAL_BURST "initial-burst", "RFC 9260, 7.2.1",
        "Before the first acknowledgement, at most the initial congestion window and one chunk are \
         sent to an address.", [Partial Disturbed];
    NOT_AGAIN "not-again", "RFC 9260, 6.3.3",
        "Data that was cumulatively acknowledged more than a second ago is not sent \
         again.", [Partial Far Disturbed];

    // Acknowledging.
    GAP_BLOCKS "gap-blocks", "RFC 9260, 3.3.4",
        "Gap blocks ascend, are apart from each other and from the cumulative TSN, and end no \
         earlier than they begin.", [];
    SACK_FORWARD "sack-forward", "RFC 9260, 6.2",
        "The cumulative TSN of SACK and SHUTDOWN never goes back.", [Reordered];
    SACK_SENT "sack-sent", "RFC 9260, 6.2", "Only TSNs that were sent are acknowledged.", [Partial];
    SACK_DUPLICATES "sack-duplicates", "RFC 9260, 3.3.4",
        "Every duplicate TSN in a SACK is one that the SACK acknowledges.", [];
    SACK_ANSWERS "sack-answers", "RFC 9260, 6.2", "No SACK comes before DATA.", [Partial];
    SACK_SOON "sack-soon", "RFC 9260, 6.2",
        "DATA is acknowledged within 500 ms. Busy machines may take half a second \
         more.", [Partial Far Disturbed];
    SACK_EVERY_SECOND "sack-every-second", "RFC 9260, 6.2",
        "The SACK for the second unacknowledged packet does not wait for a timer. Batches may take \
         150 ms, and a few SACKs may be late on a busy machine.", [Partial Far Disturbed];

    // Paths.
    HEARTBEAT_ECHO "heartbeat-echo", "RFC 9260, 8.3",
        "A HEARTBEAT ACK holds exactly what a HEARTBEAT held.", [Partial];
    HEARTBEAT_ACK_TO_SOURCE "heartbeat-ack-to-source", "RFC 9260, 8.3",
        "A HEARTBEAT ACK goes to where the HEARTBEAT came from.", [Partial];
    UNCONFIRMED "unconfirmed", "RFC 9260, 5.4",
        "An unconfirmed address gets no DATA, SACK or SHUTDOWN, and COOKIE ACK only with a \
         HEARTBEAT.", [Partial];
    OWN_ADDRESS "own-address", "RFC 9260, 5.1.2",
        "The source of a packet is an address that the peer was told.", [Partial Far];
    PEER_ADDRESS "peer-address", "RFC 9260, 5.1.2",
        "The destination of a packet is an address of the peer.", [Partial Far];
    UDP_SOURCE_PORT "udp-source-port", "RFC 6951, 5.1",
        "All packets of an association leave from the same UDP port, or all directly in IP.", [Far];
    TOO_BIG "too-big", "RFC 9260, 7.3",
        "From two seconds after an ICMP message on, only probes and packets that may be fragmented \
         are larger than the MTU in it.", [Partial Far Disturbed];

    // The end.
    NO_DATA_AFTER_SHUTDOWN "no-data-after-shutdown", "RFC 9260, 9.2",
        "No DATA comes after SHUTDOWN or SHUTDOWN ACK.", [Reordered];
    NO_HEARTBEAT_AFTER_SHUTDOWN "no-heartbeat-after-shutdown", "RFC 9260, 8.3",
        "No HEARTBEAT comes after SHUTDOWN or SHUTDOWN ACK.", [Reordered];
    SHUTDOWN_ACK_ANSWERS "shutdown-ack-answers", "RFC 9260, 9.2",
        "SHUTDOWN ACK answers a SHUTDOWN.", [Partial];
    SHUTDOWN_COMPLETE_ANSWERS "shutdown-complete-answers", "RFC 9260, 9.2",
        "SHUTDOWN COMPLETE answers a SHUTDOWN ACK.", [Partial];
    SILENT_AFTER_ABORT "silent-after-abort", "RFC 9260, 9.1",
        "An end that has aborted an association sends nothing more in it.", [Reordered];
    SILENT_AFTER_COMPLETE "silent-after-complete", "RFC 9260, 9.2",
        "An end that has sent SHUTDOWN COMPLETE sends nothing more in the \
         association.", [Reordered];
}
