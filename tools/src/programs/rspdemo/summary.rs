//! The summary at the end.

use super::cast::Cast;
use super::ledger::Ledger;
use super::timeline::{Colour, Timeline};

/// Prints the result.
pub(super) fn print(timeline: &Timeline, ledger: &Ledger, cast: &Cast) {
    let row = |label: &str, value: String, note: &str| {
        timeline.line(&format!("  {label:<24}{value:>8}   {}", timeline.paint(Colour::Dim, note)));
    };
    let judged = |good: bool, value: String| {
        timeline.paint(if good { Colour::Green } else { Colour::Red }, &format!("{value:>8}"))
    };
    timeline.line("\nSummary");
    row(
        "pings",
        ledger.sent().to_string(),
        &format!("{} were sent again after a failover", ledger.sent_again()),
    );
    row("pongs", ledger.answered().to_string(), "");
    let lost = ledger.lost().len();
    row("lost", judged(lost == 0, lost.to_string()), "ping numbers without a pong");
    row(
        "doubled",
        judged(ledger.doubled() == 0, ledger.doubled().to_string()),
        "pongs given to the user twice",
    );
    row("dropped", ledger.dropped().to_string(), "second pongs that the client kept from the user");
    let repeated = ledger.repeated_replies();
    let which: Vec<String> = repeated.iter().take(5).map(u64::to_string).collect();
    let note = match repeated.is_empty() {
        true => "the servers counted on as one".to_owned(),
        false => format!("{}: the cookie died with the server", which.join(", ")),
    };
    row("repeated reply numbers", repeated.len().to_string(), &note);
    for (i, kill) in ledger.kills().iter().enumerate() {
        let label = format!("failover {}", i + 1);
        match (kill.failover(), kill.next_pong) {
            (Some(time), Some(pong)) => {
                let value = judged(ledger.is_in_time(time), format!("{} ms", time.as_millis()));
                row(
                    &label,
                    value,
                    &format!(
                        "{} to {}, from the kill to the next pong",
                        cast.name(kill.pe),
                        cast.name(pong.pe)
                    ),
                );
            }
            _ => row(
                &label,
                judged(false, "never".to_owned()),
                &format!("{} was killed", cast.name(kill.pe)),
            ),
        }
    }
    if let Some(takeover) = ledger.takeover() {
        let value = match takeover.time() {
            Some(time) => {
                judged(ledger.is_takeover_in_time(time), format!("{} ms", time.as_millis()))
            }
            None => judged(false, "never".to_owned()),
        };
        let note = "from the registrar's kill until its server is registered with the other one";
        row("takeover", value, note);
    }
}
