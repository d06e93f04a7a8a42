//! sctp-proto as the other end, in both roles, over real UDP sockets on loopback. Each message is
//! echoed byte for byte.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sctp_proto::{
    Association, AssociationHandle, ClientConfig, DatagramEvent, Endpoint, EndpointConfig, Payload,
    PayloadProtocolIdentifier, ServerConfig, StreamEvent, TransportConfig,
};
use sctp_udp_encap::{Port, UdpEncapConfig, UdpEncapLink};
use sctp_user::{Encap, Message, Peer, Stack, StackBuilder};

/// sctp-proto's default SCTP port.
const SCTP_PORT: u16 = 5000;
/// A time limit, so that a test that hangs does not stop the others. Everything here takes well
/// below a second.
const LIMIT: Duration = Duration::from_secs(60);

/// The sizes of the messages: they need one chunk, several, or many.
const SIZES: [usize; 6] = [1, 100, 1_000, 5_000, 20_000, 40_000];

fn payload(i: usize) -> Bytes {
    (0..SIZES[i]).map(|n| (n * 7 + i) as u8).collect()
}

/// An endpoint of sctp-proto on a UDP socket, with one association.
struct Proto {
    socket: UdpSocket,
    endpoint: Endpoint,
    association: Option<(AssociationHandle, Association)>,
}

impl Proto {
    fn new() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let endpoint =
            Endpoint::new(Arc::new(EndpointConfig::new()), Some(Arc::new(ServerConfig::new())));
        Proto { socket, endpoint, association: None }
    }

    fn udp_port(&self) -> u16 {
        self.socket.local_addr().unwrap().port()
    }

    fn connect(&mut self, remote: SocketAddr) {
        let mut config = ClientConfig::new();
        config.transport = Arc::new(
            TransportConfig::default().with_local_port(SCTP_PORT).with_remote_port(SCTP_PORT),
        );
        self.association = Some(self.endpoint.connect(config, remote).unwrap());
    }

    /// Runs until `app` says that it is over.
    fn run(
        &mut self,
        mut app: impl FnMut(&mut Association, sctp_proto::Event) -> bool,
        stop: &AtomicBool,
    ) {
        let started = Instant::now();
        let mut over = false;
        while !over && !stop.load(Ordering::Relaxed) {
            assert!(started.elapsed() < LIMIT, "sctp-proto's end hangs");
            self.transmit();
            let timer = self.association.as_ref().and_then(|(_, a)| a.poll_timeout());
            let wait =
                timer.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()));
            self.receive(wait.clamp(Duration::from_micros(100), Duration::from_millis(20)));
            let Some((_, association)) = &mut self.association else { continue };
            association.handle_timeout(Instant::now());
            while let Some(event) = association.poll() {
                over |= app(association, event);
            }
        }
        self.transmit();
    }

    fn transmit(&mut self) {
        let now = Instant::now();
        loop {
            let next = match self.endpoint.poll_transmit() {
                Some(transmit) => Some(transmit),
                None => self.association.as_mut().and_then(|(_, a)| a.poll_transmit(now)),
            };
            let Some(transmit) = next else { return };
            if let Payload::RawEncode(packets) = transmit.payload {
                for packet in packets {
                    self.socket.send_to(&packet, transmit.remote).unwrap();
                }
            }
        }
    }

    fn receive(&mut self, wait: Duration) {
        let mut buf = [0; 65_536];
        self.socket.set_read_timeout(Some(wait)).unwrap();
        loop {
            let (len, from) = match self.socket.recv_from(&mut buf) {
                Ok(received) => received,
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return,
                Err(e) => panic!("{e}"),
            };
            let packet = Bytes::copy_from_slice(&buf[..len]);
            match self.endpoint.handle(Instant::now(), from, None, None, packet) {
                Some((handle, DatagramEvent::NewAssociation(association))) => {
                    self.association.get_or_insert((handle, association));
                }
                Some((_, DatagramEvent::AssociationEvent(event))) => {
                    self.association.as_mut().unwrap().1.handle_event(event);
                }
                None => {}
            }
            self.socket.set_read_timeout(Some(Duration::from_micros(1))).unwrap();
        }
    }
}

fn write(association: &mut Association, id: u16, data: &[u8]) {
    let binary = PayloadProtocolIdentifier::Binary;
    let mut stream = match association.stream(id) {
        Ok(stream) => stream,
        Err(_) => association.open_stream(id, binary).unwrap(),
    };
    stream.write_with_ppi(data, binary).unwrap();
}

fn read(association: &mut Association, id: u16) -> Vec<Vec<u8>> {
    let mut stream = association.stream(id).unwrap();
    let mut messages = Vec::new();
    while let Some(message) = stream.read_sctp().unwrap() {
        let mut data = vec![0; message.len()];
        message.read(&mut data).unwrap();
        messages.push(data);
    }
    messages
}

fn stack() -> (Stack, u16) {
    let config = UdpEncapConfig {
        addrs: vec![Ipv4Addr::LOCALHOST.into()],
        ..UdpEncapConfig::with_port(Port::Any)
    };
    let link = UdpEncapLink::bind(&config).unwrap();
    let port = link.port();
    (StackBuilder::new().link(link).build().unwrap(), port)
}

/// Ends sctp-proto's thread, even if an assertion of ours fails.
struct Running(Arc<AtomicBool>, Option<JoinHandle<()>>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        if let Some(thread) = self.1.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("sctp-proto's end failed");
        }
    }
}

fn spawn(run: impl FnOnce(&AtomicBool) + Send + 'static) -> Running {
    let stop = Arc::new(AtomicBool::new(false));
    let shared = Arc::clone(&stop);
    Running(stop, Some(std::thread::spawn(move || run(&shared))))
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_and_their_echo_server() {
    let mut proto = Proto::new();
    let peer = Peer::new(
        Ipv4Addr::LOCALHOST.into(),
        Encap::Udp { remote_port: proto.udp_port() },
        SCTP_PORT,
    );
    let _running = spawn(move |stop| {
        let echo = |association: &mut Association, event| {
            if let sctp_proto::Event::Stream(StreamEvent::Readable { id }) = event {
                for data in read(association, id) {
                    write(association, id, &data);
                }
            }
            false
        };
        proto.run(echo, stop);
    });
    let (stack, _) = stack();
    let test = async {
        let association = stack.connect(&peer).await.unwrap();
        for i in 0..SIZES.len() {
            association.send(Message::new(i as u16 % 2, 53, payload(i))).await.unwrap();
        }
        let mut back = Vec::new();
        while back.len() < SIZES.len() {
            let message = association.recv_message().await.unwrap().expect("it is still open");
            assert_eq!(message.ppid, 53);
            back.push(message.data);
        }
        back.sort_by_key(Bytes::len);
        assert!(
            back.iter().enumerate().all(|(i, data)| *data == payload(i)),
            "each came back unchanged"
        );
        association.abort("done");
    };
    tokio::time::timeout(LIMIT, test).await.expect("it does not hang");
    stack.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn their_client_and_our_echo_server() {
    let (stack, udp_port) = stack();
    let endpoint = stack.bind(SCTP_PORT).unwrap();
    endpoint.listen(1).unwrap();
    let mut running = spawn(move |stop| {
        let mut proto = Proto::new();
        proto.connect((Ipv4Addr::LOCALHOST, udp_port).into());
        let mut back: Vec<Vec<u8>> = Vec::new();
        let client = |association: &mut Association, event| {
            match event {
                sctp_proto::Event::Connected => {
                    for i in 0..SIZES.len() {
                        write(association, i as u16 % 2, &payload(i));
                    }
                }
                sctp_proto::Event::Stream(StreamEvent::Readable { id }) => {
                    back.extend(read(association, id))
                }
                sctp_proto::Event::AssociationLost { .. } => panic!("lost the association"),
                _ => {}
            }
            back.len() == SIZES.len()
        };
        proto.run(client, stop);
        back.sort_by_key(Vec::len);
        assert!(
            back.iter().enumerate().all(|(i, data)| *data == payload(i)),
            "each came back unchanged"
        );
    });
    let test = async {
        let association = endpoint.accept().await.unwrap();
        for _ in 0..SIZES.len() {
            let message = association.recv_message().await.unwrap().expect("it is still open");
            association
                .send(Message::new(message.stream, message.ppid, message.data))
                .await
                .unwrap();
        }
        association
    };
    let association = tokio::time::timeout(LIMIT, test).await.expect("it does not hang");
    let thread = running.1.take().unwrap();
    tokio::task::spawn_blocking(move || thread.join()).await.unwrap().expect("their end succeeds");
    association.abort("done");
    stack.shutdown().await;
}
