//! sctp-proto as an end of a scenario. This end has one path and one association at a time, and
//! only in UDP.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sctp_proto::{
    Association, AssociationHandle, ClientConfig, DatagramEvent, Endpoint, EndpointConfig, Event,
    Payload, PayloadProtocolIdentifier, ReliabilityType, ServerConfig, TransportConfig,
};

use crate::interop::content::{self, Check};
use crate::interop::script::{Flow, Setup, Step, say_end};
use crate::open::Failure;

/// Name of the program.
pub const NAME: &str = "sctp-proto-end";

/// The program.
pub fn run(args: Vec<OsString>) -> ExitCode {
    let args: Vec<String> =
        args.into_iter().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    let ended = Setup::parse(&args).and_then(|(setup, steps)| {
        let mut end = End::open(setup)?;
        for step in &steps {
            end.step(step).map_err(|error| format!("{error} ({step:?})"))?;
        }
        end.pump(Duration::ZERO)
    });
    say_end(ended)
}

struct End {
    setup: Setup,
    socket: UdpSocket,
    endpoint: Endpoint,
    transport: Arc<TransportConfig>,
    association: Option<(AssociationHandle, Association)>,
    connected: bool,
    lost: Option<String>,
    sending: Option<Sending>,
}

/// A flow that is being sent.
struct Sending {
    flow: Flow,
    begin: Instant,
    number: u64,
    /// When the next message is due.
    next: Instant,
}

impl End {
    fn open(setup: Setup) -> Result<End, Failure> {
        if setup.extensions.is_some() {
            return Err("its extensions cannot be switched".into());
        }
        let own = *setup.own.first().ok_or("it has no address")?;
        let socket = UdpSocket::bind((own, setup.udp))?;
        let window = setup.window.map_or(LARGE, |window| window as u32);
        let mut transport = TransportConfig::default()
            .with_local_port(setup.port)
            .with_remote_port(setup.peer_port)
            .with_max_num_outbound_streams(setup.streams)
            .with_max_receive_buffer_size(window)
            .with_max_send_message_size(LARGE)
            .with_max_receive_message_size(LARGE);
        if setup.fast {
            transport =
                transport.with_rto_initial_ms(500).with_rto_min_ms(300).with_rto_max_ms(1000);
        }
        let transport = Arc::new(transport);
        let mut server = ServerConfig::new();
        server.transport = Arc::clone(&transport);
        Ok(End {
            setup,
            socket,
            endpoint: Endpoint::new(Arc::new(EndpointConfig::new()), Some(Arc::new(server))),
            transport,
            association: None,
            connected: false,
            lost: None,
            sending: None,
        })
    }

    fn step(&mut self, step: &Step) -> Result<(), Failure> {
        match step {
            Step::Listen => println!("ready"),
            Step::Accept => {
                self.until(|end| Ok(end.connected))?;
                println!("up");
            }
            Step::Connect => {
                let peer = *self.setup.peer.first().ok_or("its peer has no address")?;
                let mut config = ClientConfig::new();
                config.transport = Arc::clone(&self.transport);
                self.association = Some(
                    self.endpoint.connect(config, SocketAddr::new(peer, self.setup.peer_udp))?,
                );
                self.until(|end| Ok(end.connected))?;
                println!("up");
            }
            Step::Send(flow, background) => {
                let now = Instant::now();
                self.sending =
                    Some(Sending { flow: flow.clone(), begin: now, number: 0, next: now });
                if !background {
                    self.until(|end| Ok(end.sending.is_none()))?;
                }
            }
            Step::Join => self.until(|end| Ok(end.sending.is_none()))?,
            Step::Expect(flow) => {
                let mut check = Check::new(flow);
                let mut next = Instant::now();
                self.until(|end| {
                    // A slow reader leaves messages in the streams.
                    while !check.done() && (flow.pause.is_zero() || Instant::now() >= next) {
                        let Some((id, ppid, data)) = end.read()? else { return Ok(false) };
                        // sctp-proto does not say whether a message was sent unordered.
                        check.take(id, ppid, flow.unordered, &data)?;
                        next = Instant::now() + flow.pause;
                    }
                    Ok(check.done())
                })?;
                check.report();
            }
            Step::Sleep(time) => {
                let wake = Instant::now() + *time;
                self.until(|_| Ok(Instant::now() >= wake))?;
            }
            Step::Shutdown => {
                self.until(|end| Ok(end.is_flushed()))?;
                println!("closing");
                self.living()?.shutdown()?;
                self.until(|end| Ok(end.is_closed()))?;
                println!("graceful");
            }
            Step::Ended => {
                self.until(|end| Ok(end.is_closed()))?;
                println!("graceful");
            }
            Step::Abort => {
                self.living()?.close()?;
                self.pump(Duration::from_millis(10))?;
                println!("aborted");
            }
            Step::Aborted | Step::Lost => {
                let poke =
                    Flow { n: u64::MAX, size: vec![8], pause: Duration::from_millis(200), ..EMPTY };
                if *step == Step::Lost {
                    let now = Instant::now();
                    self.sending = Some(Sending { flow: poke, begin: now, number: 0, next: now });
                }
                while self.lost.is_none() {
                    self.pump(WAIT)?;
                }
                println!("{}", if *step == Step::Lost { "lost" } else { "aborted" });
            }
            // sctp-proto never reports a restart, so this waits until the association is lost.
            Step::Restarted => self.until(|_| Ok(false))?,
            Step::Hold => {
                println!("holding");
                self.until(|_| Ok(false))?;
            }
        }
        Ok(())
    }

    fn living(&mut self) -> Result<&mut Association, Failure> {
        Ok(&mut self.association.as_mut().ok_or("there is no association")?.1)
    }

    /// Whether the association has ended by a shutdown. sctp-proto reports that as a loss.
    fn is_closed(&self) -> bool {
        self.association.as_ref().is_some_and(|(_, association)| association.is_closed())
    }

    fn is_flushed(&mut self) -> bool {
        let Some((_, association)) = &mut self.association else { return true };
        association.stream_ids().into_iter().all(|id| {
            association
                .stream(id)
                .is_ok_and(|stream| stream.buffered_amount().is_ok_and(|bytes| bytes == 0))
        })
    }

    /// Runs until `over` returns true. If the association is lost before, that is an error.
    fn until(
        &mut self,
        mut over: impl FnMut(&mut Self) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        loop {
            if over(self)? {
                return self.pump(Duration::ZERO);
            }
            if let Some(lost) = &self.lost
                && !self.is_closed()
            {
                return Err(format!("the association is lost: {lost}").into());
            }
            self.pump(WAIT)?;
        }
    }

    /// Receives for at most `wait` and sends everything that is due.
    fn pump(&mut self, wait: Duration) -> Result<(), Failure> {
        self.write()?;
        self.transmit()?;
        let timer =
            self.association.as_ref().and_then(|(_, association)| association.poll_timeout());
        let timer = timer.map_or(wait, |at| at.saturating_duration_since(Instant::now()).min(wait));
        self.receive(timer.max(Duration::from_micros(50)))?;
        if let Some((_, association)) = &mut self.association {
            association.handle_timeout(Instant::now());
            while let Some(event) = association.poll() {
                match event {
                    Event::Connected => self.connected = true,
                    Event::AssociationLost { reason } | Event::HandshakeFailed { reason } => {
                        self.lost = Some(reason.to_string());
                    }
                    _ => {}
                }
            }
        }
        self.transmit()
    }

    fn transmit(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        loop {
            let next = match self.endpoint.poll_transmit() {
                Some(transmit) => Some(transmit),
                None => self
                    .association
                    .as_mut()
                    .and_then(|(_, association)| association.poll_transmit(now)),
            };
            let Some(transmit) = next else { return Ok(()) };
            if let Payload::RawEncode(packets) = transmit.payload {
                for packet in packets {
                    match self.socket.send_to(&packet, transmit.remote) {
                        Ok(_) => {}
                        // An ICMP error about an earlier packet.
                        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                        Err(error) => return Err(error.into()),
                    }
                }
            }
        }
    }

    fn receive(&mut self, wait: Duration) -> Result<(), Failure> {
        let mut buf = [0; 65_536];
        self.socket.set_read_timeout(Some(wait))?;
        for _ in 0..64 {
            let (len, from) = match self.socket.recv_from(&mut buf) {
                Ok(received) => received,
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            };
            let packet = Bytes::copy_from_slice(&buf[..len]);
            match self.endpoint.handle(Instant::now(), from, None, None, packet) {
                Some((handle, DatagramEvent::NewAssociation(association))) => {
                    self.association.get_or_insert((handle, association));
                }
                Some((_, DatagramEvent::AssociationEvent(event))) => {
                    self.living()?.handle_event(event);
                }
                None => {}
            }
            self.socket.set_read_timeout(Some(Duration::from_micros(1)))?;
        }
        Ok(())
    }

    /// Hands over the messages that are due of the flow being sent.
    fn write(&mut self) -> Result<(), Failure> {
        let (Some(sending), Some((_, association))) = (&mut self.sending, &mut self.association)
        else {
            return Ok(());
        };
        let flow = &sending.flow;
        loop {
            let more = flow
                .seconds
                .map_or(sending.number < flow.n, |limit| sending.begin.elapsed() < limit);
            if !more {
                if flow.seconds.is_some() {
                    let data = content::end_mark(sending.number);
                    association.stream(0)?.write_with_ppi(&data, BINARY)?;
                }
                println!("sent n={} ms={}", sending.number, sending.begin.elapsed().as_millis());
                self.sending = None;
                return Ok(());
            }
            if Instant::now() < sending.next {
                return Ok(());
            }
            let (id, ppid, data) = content::message(flow, sending.number);
            let mut stream = match association.stream(id) {
                Ok(stream) => stream,
                Err(_) => association.open_stream(id, BINARY)?,
            };
            if stream.buffered_amount()? > self.setup.window.unwrap_or(BUFFER) {
                return Ok(());
            }
            stream.set_reliability_params(flow.unordered, ReliabilityType::Reliable, 0)?;
            stream.write_with_ppi(&data, PayloadProtocolIdentifier::from(ppid))?;
            sending.number += 1;
            sending.next = Instant::now() + flow.pause;
        }
    }

    /// The next message of any stream.
    fn read(&mut self) -> Result<Option<(u16, u32, Vec<u8>)>, Failure> {
        let Some((_, association)) = &mut self.association else { return Ok(None) };
        for id in association.stream_ids() {
            if let Some(message) = association.stream(id)?.read_sctp()? {
                let mut data = vec![0; message.len()];
                message.read(&mut data)?;
                return Ok(Some((id, message.ppi as u32, data)));
            }
        }
        Ok(None)
    }
}

const BINARY: PayloadProtocolIdentifier = PayloadProtocolIdentifier::Binary;
const LARGE: u32 = 4 << 20;
/// The most bytes of a stream in the send buffer, which sctp-proto does not limit by itself.
const BUFFER: usize = 256 * 1024;
const WAIT: Duration = Duration::from_millis(5);
const EMPTY: Flow = Flow {
    n: 0,
    size: Vec::new(),
    streams: 1,
    unordered: false,
    ppid: 0,
    pause: Duration::ZERO,
    seconds: None,
};
