//! SCTP without a runtime: a server in one thread, a client in another, and calls that wait.

use std::thread;
use std::time::Duration;

use sctp_user::blocking::StackBuilder;
use sctp_user::{Error, Message};

fn main() -> Result<(), Error> {
    let mut server = StackBuilder::udp(0)?.build()?;
    let udp_port = server.local_udp_port().expect("the stack has a link in UDP");
    let endpoint = server.bind(7)?;
    server.listen(endpoint, 16)?;
    let server = thread::spawn(move || -> Result<(), Error> {
        let association = server.accept(endpoint)?;
        while let Some(message) = server.recv_message(association)? {
            server.send(association, Message::new(message.stream, message.ppid, message.data))?;
        }
        // The client has shut down. This stack works only inside its calls, so the thread stays
        // until the association has ended.
        server.shutdown(association)
    });

    let mut client = StackBuilder::udp(0)?.build()?;
    // No call waits for longer than this.
    client.set_timeout(Some(Duration::from_secs(10)));
    let association = client.connect(format!("127.0.0.1:7/udp:{udp_port}"))?;
    for word in ["one", "two", "three"] {
        client.send(association, Message::new(0, 0, word))?;
        if let Some(reply) = client.recv_message(association)? {
            println!("the server sends back: {}", String::from_utf8_lossy(&reply.data));
        }
    }
    client.shutdown(association)?;
    server.join().expect("the server's thread does not panic")
}

#[test]
fn the_example_runs() {
    main().unwrap();
}
