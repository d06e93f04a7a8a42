//! Everything in a public field or signature can be named with the help of `sctp_user` alone. That
//! a type of the crate itself can be named is a lint (`unnameable_types`); here are those that come
//! from crates below.

use sctp_user::{
    AssocState, AssocStats, Features, LossReason, NoRoute, PathAddr, PathState, PathStats,
    PmtudState, blocking, link, sctp_user_core,
};

/// The fields of what users read, with their types written out.
fn fields(
    assoc: sctp_user::AssocStatus,
    path: sctp_user::PathStatus,
    received: sctp_user::Received,
    reason: LossReason,
) {
    let _: (AssocState, Features) = (assoc.state, assoc.features);
    let _: (PathAddr, PathState, PmtudState, PathStats) =
        (path.addr, path.state, path.pmtud, path.stats);
    let _: PathAddr = received.from;
    if let LossReason::NoRoute(why) = reason {
        let _: NoRoute = why;
    }
}

/// What blocking programs meet in `Stack::with`.
fn sockets(stack: &mut blocking::Stack, endpoint: blocking::Endpoint) -> AssocStats {
    use blocking::Handle as _;
    use sctp_user_core::socket::{SocketError, SocketOptions, Style, Target};
    use sctp_user_core::{Stack, Time};

    stack.with(|sockets: &mut blocking::Sockets, now: Time| {
        let id: blocking::SocketId = sockets.open(Style::OneToMany, SocketOptions::default());
        let message = sctp_user::Message::new(0, 0, "x");
        let sent: Result<_, SocketError> = sockets.try_send(now, id, Target::Only, message);
        let below: &Stack = sockets.stack();
        let _ = (sent, endpoint.socket());
        below.assoc_stats(sockets.assocs_of(id)[0]).unwrap_or_default()
    })
}

/// What a link of one's own handles.
fn links(error: link::IcmpError, transmit: sctp_user::Transmit) {
    let _: (PathAddr, sctp_user::Unreachable) = (error.to, error.kind);
    let _: (PathAddr, Option<sctp_user::Ecn>) = (transmit.path, transmit.ecn);
}

#[test]
fn this_crate_alone_names_them_all() {
    let _ = (fields, sockets, links);
}
