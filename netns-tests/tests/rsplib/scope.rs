//! A scope of RSPLIB's registrar and two of ours.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use netns_tests::failover::Carrier;
use netns_tests::net::{Host, Running};
use netns_tests::rsplib::{LIMIT, Meeting, TheirRegistrar};

use crate::wait_for;

/// All registrars and elements have IPv4 addresses only. With both IP versions, RSPLIB's registrar
/// lists its addresses in one INIT and not in another one, and ours has to refuse that.
///
/// RSPLIB's registrar dies, and one of ours takes its elements over. Another one of RSPLIB is told
/// everything, and learns of the next takeover, when one of ours dies.
pub(crate) fn they_replace_each_other(meeting: &Meeting, second: &Host) {
    let theirs = meeting.their_registrar_with(&format!("-identifier={THEIRS}"));
    let (their_element, _their_program) =
        meeting.their_element("-pingpong -rereginterval=5000 -local=10.1.0.2:0", &theirs.asap);
    let mut one = ours(meeting, &meeting.registrar, 1, ONE);
    let mut two = ours(meeting, second, 5, TWO);
    let mut our_program = meeting.ours(
        &meeting.element,
        Carrier::Raw,
        &[
            "rspserver",
            "-pingpong",
            "--local=10.1.0.3:0",
            "--registrar=10.1.0.1:3863",
            "--asapannounce=off",
        ],
    );
    let our_element = our_program.ready().get("id").expect("an identifier").to_owned();
    let our_element = u32::from_str_radix(our_element.trim_start_matches("0x"), 16).unwrap();
    let homes = [(their_element, THEIRS), (our_element, ONE)];
    let ours_and = |theirs: &TheirRegistrar| {
        ["10.1.0.1:9901".to_owned(), "10.1.0.5:9901".to_owned(), theirs.enrp.clone()]
    };
    agree(meeting, &ours_and(&theirs), &homes);

    // They all count the same checksums: nobody fetches a table again.
    let mut requests = meeting.watch(&meeting.registrar, "enrp.message_type == 2");
    let request = requests.wait_at_most(Duration::from_secs(6), |line| Some(line.to_owned()));
    assert_eq!(request, None, "who asks for a table although nothing has changed");
    drop(requests);

    // Who notices first takes over, as the other one agrees.
    theirs.kill();
    let words = format!("took over registrar ${THEIRS:08x}");
    let found = one.wait_at_most(LIMIT, |line| {
        line.contains(&words).then(|| line.contains(&format!("registrar ${TWO:08x} took over")))
    });
    let home = match found {
        Some(true) => TWO,
        Some(false) => ONE,
        None => panic!("nobody takes over: {}", one.said().join("\n")),
    };
    let homes = [(their_element, home), (our_element, ONE)];
    let both = ["10.1.0.1:9901".to_owned(), "10.1.0.5:9901".to_owned()];
    agree(meeting, &both, &homes);
    // It obeys.
    let registrar = if home == ONE { &mut one } else { &mut two };
    wait_for(registrar, "their element", &format!("registered ${their_element:08x}"));

    // Another one of theirs is the first to notice that ours stands still.
    let again = meeting.their_registrar_with(&format!(
        "-identifier={AGAIN} -peermaxtimelastheard=1000 -peermaxtimenoresponse=1000"
    ));
    for registrar in [&mut one, &mut two] {
        wait_for(registrar, "their new one", &format!("found registrar ${AGAIN:08x}"));
    }
    agree(meeting, &ours_and(&again), &homes);
    // It takes each run of hsdump for a registrar, and waits for its agreement.
    std::thread::sleep(Duration::from_secs(5));
    one.signal("STOP");
    wait_for(&mut our_program, "their takeover", "taken over by registrar 10.1.0.2");
    let home = if home == ONE { AGAIN } else { home };
    agree(
        meeting,
        &["10.1.0.5:9901".to_owned(), again.enrp.clone()],
        &[(their_element, home), (our_element, AGAIN)],
    );
}

/// Starts a registrar of ours, which finds the others by multicast.
fn ours(meeting: &Meeting, host: &Host, number: u8, id: u32) -> Running {
    let addrs = format!("10.1.0.{number}:3863");
    let mut registrar = meeting.ours(
        host,
        Carrier::Raw,
        &[
            "rspregistrar",
            &format!("--asap={addrs}"),
            &format!("--identifier={id}"),
            "--asapannounce=off",
            "--events",
        ],
    );
    registrar.ready();
    registrar
}

/// Waits until the registrars at these places know exactly these elements with their homes.
fn agree(meeting: &Meeting, places: &[String], homes: &[(u32, u32)]) {
    let wanted = BTreeMap::from_iter(homes.iter().copied());
    let end = Instant::now() + LIMIT;
    loop {
        let views: Vec<_> = places.iter().map(|place| meeting.view(Carrier::Raw, place)).collect();
        if views.iter().all(|view| view.as_ref().is_some_and(|view| view.homes == wanted)) {
            return;
        }
        assert!(Instant::now() < end, "{places:?} should know {wanted:x?}, but {views:x?}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The identifiers of our registrars, and of RSPLIB's. The smaller one takes over.
const ONE: u32 = 1;
const TWO: u32 = 5;
const THEIRS: u32 = 2;
const AGAIN: u32 = 4;
