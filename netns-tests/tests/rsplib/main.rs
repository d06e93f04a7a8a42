//! RSPLIB's programs and ours in each other's pools. RSPLIB uses the SCTP of the Linux kernel, and
//! our programs use this stack.

mod scope;

use std::time::Instant;

use netns_tests::failover::Carrier;
use netns_tests::rsplib::{ANNOUNCED, LIMIT, Meeting, pong_before, pongs};
use netns_tests::sections::Sections;
use workspace_tests::process::Program;

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn rsplib_and_this_stack_share_pools() {
    let Some(meeting) = Meeting::open(PROGRAMS) else { return };
    let second = meeting.host("second-registrar", 5);
    let mut sections = Sections::new();
    for (carrier, name) in [(Carrier::Raw, "directly in IP"), (Carrier::Udp, "in UDP")] {
        let mut part = |what: &str, part: fn(&Meeting, Carrier)| {
            sections.run_beside(&meeting, &format!("{what}, {name}"), || {
                meeting.carry(carrier);
                part(&meeting, carrier);
            });
        };
        part("their echo server at our registrar, with both terminals", echo_at_our_registrar);
        part("our keep-alives and their server", our_keep_alives);
        part(
            "their ping-pong server and ours at our registrar, with our client",
            |meeting, carrier| {
                let _registrar = meeting.our_registrar(carrier);
                let mut client = meeting.our_client(carrier, OURS);
                failovers(meeting, carrier, OURS, &mut client);
            },
        );
        part(
            "their ping-pong server and ours at our registrar, with their client",
            |meeting, carrier| {
                let _registrar = meeting.our_registrar(carrier);
                let mut client = meeting.their_client(OURS);
                failovers(meeting, carrier, OURS, &mut client);
            },
        );
        part("our echo server at their registrar, with both terminals", echo_at_their_registrar);
        part("their keep-alives and our server", their_keep_alives);
        part(
            "their ping-pong server and ours at their registrar, with our client",
            |meeting, carrier| {
                let registrar = meeting.their_registrar();
                let mut client = meeting.our_client(carrier, &registrar.asap);
                failovers(meeting, carrier, &registrar.asap, &mut client);
            },
        );
        part(
            "their ping-pong server and ours at their registrar, with their client",
            |meeting, carrier| {
                let registrar = meeting.their_registrar();
                let mut client = meeting.their_client(&registrar.asap);
                failovers(meeting, carrier, &registrar.asap, &mut client);
            },
        );
        part("registrars that are found by their announces", announces);
    }
    sections.run_beside(&meeting, "a scope of their registrar and ours", || {
        meeting.carry(Carrier::Raw);
        scope::they_replace_each_other(&meeting, &second);
    });
    sections.end();
}

fn echo_at_our_registrar(meeting: &Meeting, carrier: Carrier) {
    let mut registrar = meeting.our_registrar(carrier);
    let (id, mut server) = meeting.their_element("-echo", OURS);
    registrar.wait_for("the registration", |line| line.contains("registered").then_some(()));
    terminals(meeting, carrier, OURS, id);
    server.signal("INT");
    server.ended(LIMIT);
    wait_for(&mut registrar, "the deregistration", "it deregistered");
}

fn echo_at_their_registrar(meeting: &Meeting, carrier: Carrier) {
    let registrar = meeting.their_registrar();
    let (id, mut server) = meeting.our_element(carrier, "-echo", &registrar.asap);
    assert!(meeting.they_list(&registrar, id), "it is registered");
    let view = meeting.view(carrier, &registrar.enrp).expect("our dump");
    assert!(view.homes.contains_key(&id), "our dump shows it, too: {view:?}");
    terminals(meeting, carrier, &registrar.asap, id);
    server.signal("TERM");
    server.finished(LIMIT);
    assert!(!meeting.they_list(&registrar, id), "it has deregistered");
}

fn announces(meeting: &Meeting, carrier: Carrier) {
    let registrar = meeting.our_registrar(carrier);
    let (id, server) = meeting.their_element("-echo", ANNOUNCED);
    terminals(meeting, carrier, ANNOUNCED, id);
    drop((server, registrar));

    let _registrar = meeting.their_registrar();
    let (id, _server) = meeting.our_element(carrier, "-echo", ANNOUNCED);
    terminals(meeting, carrier, ANNOUNCED, id);
}

/// Has both terminals talk to the echo server `id`.
fn terminals(meeting: &Meeting, carrier: Carrier, registrar: &str, id: u32) {
    let echo = |text: &str| format!("from PE ${id:08x}> {text}");
    let mut theirs = meeting.their_terminal(registrar);
    theirs.type_line("first line of theirs");
    wait_for(&mut theirs, "an echo", &echo("first line of theirs"));
    theirs.type_line("second");
    wait_for(&mut theirs, "an echo", &echo("second"));

    let mut ours = meeting.our_terminal(carrier, registrar);
    ours.type_line("first line of ours");
    wait_for(&mut ours, "an echo", &echo("first line of ours"));
    ours.type_line(&"long ".repeat(2000));
    wait_for(&mut ours, "an echo", &echo("long long"));
    ours.signal("INT");
    ours.finished(LIMIT);
    theirs.signal("INT");
    theirs.ended(LIMIT);
}

/// Kills their server, and later ours. The session goes on with the other server, and so does its
/// number of replies. Linux ignores the ICMP messages of a host whose server has died, so their
/// client takes about 25 s to leave our server.
fn failovers(meeting: &Meeting, carrier: Carrier, registrar: &str, client: &mut Program) {
    let (their_id, mut theirs) = meeting.their_element("-pingpong", registrar);
    pongs(client, their_id, 5);
    let (our_id, mut ours) = meeting.our_element(carrier, "-pingpong", registrar);
    theirs.kill();
    goes_on(client, our_id);

    let (their_id, _theirs) = meeting.their_element("-pingpong", registrar);
    ours.kill();
    goes_on(client, their_id);
}

/// Checks that the client goes on with this element, and that the number of replies goes on, too.
fn goes_on(client: &mut Program, id: u32) {
    let (first, _) = pongs(client, id, 5);
    let before = pong_before(client.said(), id).expect("Pongs of another server");
    // RSPLIB's server sends a cookie after each Pong, so it may die between the two. Then the last
    // Pong is one ahead of the cookie.
    assert!(
        first.reply == before.reply + 1 || first.reply == before.reply,
        "the count went from {before:?} to {first:?}"
    );
    println!(
        "    from reply {} of ${:08x} to reply {} of ${id:08x}",
        before.reply, before.element, first.reply
    );
}

fn our_keep_alives(meeting: &Meeting, carrier: Carrier) {
    let mut registrar = meeting.our_registrar(carrier);
    let (id, mut server) = meeting.their_element("-echo", OURS);
    answers(&mut meeting.watch(&meeting.registrar, KEEP_ALIVE_ACKS), ["10.1.0.2", "fd01::2"]);
    let gone = |line: &str| line.contains("removed");
    assert!(!registrar.said().iter().any(|line| gone(line)), "it stays: {:?}", registrar.said());
    // The stopped server no longer answers, although its kernel still acknowledges packets.
    server.signal("STOP");
    wait_for(&mut registrar, "its end", "it did not answer a keep-alive");
    server.kill();

    let (next, mut server) = meeting.their_element("-echo", OURS);
    assert_ne!(next, id);
    server.kill();
    wait_for(&mut registrar, "its end", "its association ended");
}

fn their_keep_alives(meeting: &Meeting, carrier: Carrier) {
    let registrar = meeting.their_registrar();
    let (id, mut server) = meeting.our_element(carrier, "-echo", &registrar.asap);
    answers(&mut meeting.watch(&meeting.element, KEEP_ALIVE_ACKS), ["10.1.0.3", "fd01::3"]);
    assert!(meeting.they_list(&registrar, id), "it stays");
    server.kill();
    let end = Instant::now() + LIMIT;
    while meeting.they_list(&registrar, id) {
        assert!(Instant::now() < end, "a dead element stays in their handlespace");
    }
}

/// Waits for answers to several rounds of keep-alives.
fn answers(acks: &mut Program, from: [&str; 2]) {
    let mut count = 0;
    let enough = acks.wait_at_most(LIMIT, |line| {
        count += usize::from(from.iter().any(|addr| line.contains(addr)));
        (count == 5).then_some(())
    });
    assert!(enough.is_some(), "{count} answers to keep-alives");
}

fn wait_for(program: &mut Program, what: &str, text: &str) {
    let found = program.wait_at_most(LIMIT, |line| line.contains(text).then_some(()));
    assert!(
        found.is_some(),
        "{what} did not come ('{text}'); it said\n{}",
        program.said().join("\n")
    );
}

/// The endpoint where our registrar serves ASAP.
const OURS: &str = "10.1.0.1:3863";
const KEEP_ALIVE_ACKS: &str = "asap.message_type == 8";
const PROGRAMS: &str = env!("CARGO_BIN_EXE_netns-programs");
