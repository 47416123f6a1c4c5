//! Both ends of a connection through warren.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;

use crate::keyed::Keyed;
use crate::plan::{Ending, Plan, Traffic};

/// The whole of a test's connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scene {
    pub(crate) seed: u64,
    pub(crate) traffic: Traffic,
}

/// What one end has to say when its connection is over.
pub(crate) type Verdict = Result<(), String>;

/// Accepts for ever; each connection names itself by its first eight bytes.
pub(crate) async fn serve(scene: Scene, listener: TcpListener, verdicts: mpsc::Sender<Verdict>) {
    loop {
        let (mut stream, _) = listener.accept().await.expect("accept on loopback");
        let verdicts = verdicts.clone();
        tokio::task::spawn_local(async move {
            let mut number = [0; 8];
            // The echo tells the client that its connection has arrived, whatever it does next.
            let named = async {
                stream.read_exact(&mut number).await?;
                stream.write_all(&number).await
            };
            let verdict = match named.await {
                Ok(()) => {
                    let number = u64::from_le_bytes(number);
                    let plan = Plan::new(scene.seed, number, scene.traffic);
                    let said = play(scene, plan, stream, false).await;
                    said.map_err(|error| format!("server of {number} ({plan:?}): {error}"))
                }
                Err(error) => Err(format!("a connection ended before its number: {error}")),
            };
            verdicts
                .send(verdict)
                .await
                .expect("the test collects verdicts");
        });
    }
}

/// Connects once and plays the client's part.
pub(crate) async fn connect(scene: Scene, number: u64, address: SocketAddr) -> Verdict {
    let plan = Plan::new(scene.seed, number, scene.traffic);
    let stream = async {
        let socket = TcpSocket::new_v4()?;
        if let Some(bytes) = scene.traffic.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        let mut stream = socket.connect(address).await?;
        stream.write_all(&number.to_le_bytes()).await?;
        stream.read_exact(&mut [0; 8]).await?;
        io::Result::Ok(stream)
    };
    let stream = match stream.await {
        Ok(stream) => stream,
        // A reset may overtake the echo; the server has had the number and says how it went there.
        Err(error)
            if plan.ending == Ending::ServerResets
                && error.kind() == io::ErrorKind::ConnectionReset =>
        {
            return Ok(());
        }
        Err(error) => return Err(format!("client of {number} ({plan:?}): {error}")),
    };
    let said = play(scene, plan, stream, true).await;
    said.map_err(|error| format!("client of {number} ({plan:?}): {error}"))
}

async fn play(scene: Scene, plan: Plan, mut stream: TcpStream, is_client: bool) -> Verdict {
    stream.set_nodelay(true).expect("a TCP option");
    let (sends, receives) = match is_client {
        true => (plan.to_server, plan.to_client),
        false => (plan.to_client, plan.to_server),
    };
    let resets = match plan.ending {
        Ending::InOrder => None,
        Ending::ClientResets => Some(is_client),
        Ending::ServerResets => Some(!is_client),
    };
    let out = Keyed::new(scene.seed, plan.number, is_client);
    let into = Keyed::new(scene.seed, plan.number, !is_client);
    let (reader, writer) = stream.split();
    match resets {
        None => {
            let sent = send(writer, out, sends, plan, is_client, true);
            let received = receive(reader, into, Some(receives));
            let (sent, received) = tokio::join!(sent, received);
            sent.map_err(|error| format!("sending: {error}"))?;
            received
        }
        // We reset: whatever has come until then must be right.
        Some(true) => {
            let sent = send(writer, out, sends, plan, is_client, false);
            let received = tokio::select! {
                received = receive(reader, into, None) => received.map(|()| true),
                sent = sent => sent.map(|()| false).map_err(|error| format!("sending: {error}")),
            };
            if received? {
                return Err("the other side ended, but we were to reset".to_owned());
            }
            SockRef::from(&stream)
                .set_linger(Some(Duration::ZERO))
                .expect("a TCP option");
            Ok(())
        }
        // The other side resets: what came must be a prefix of its stream, and then a reset.
        Some(false) => {
            let sent = send(writer, out, sends, plan, is_client, false);
            let (sent, received) = tokio::join!(sent, until_over(reader, into, receives));
            // The kernel tells of a reset once, to our writing or to our reading, and now and
            // then to neither; but a socket that was reset has no peer any more.
            let told = |kind| {
                matches!(
                    kind,
                    io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
                )
            };
            let has_peer = stream.peer_addr().is_ok();
            if !received? && has_peer && !sent.is_err_and(|error| told(error.kind())) {
                return Err("FIN instead of RST".to_owned());
            }
            Ok(())
        }
    }
}

async fn send(
    mut writer: WriteHalf<'_>,
    mut stream: Keyed,
    length: u64,
    plan: Plan,
    to_server: bool,
    finish: bool,
) -> io::Result<()> {
    let mut pace = plan.pace(to_server);
    let mut buffer = Vec::new();
    while stream.position() < length {
        let left = usize::try_from(length - stream.position()).unwrap();
        buffer.resize(pace.write().min(left), 0);
        stream.fill(&mut buffer);
        writer.write_all(&buffer).await?;
        if let Some(pause) = pace.pause() {
            tokio::time::sleep(pause).await;
        }
    }
    if finish {
        writer.shutdown().await
    } else {
        Ok(())
    }
}

/// Reads to the end; `length` is what must have come by then.
async fn receive(mut reader: ReadHalf<'_>, mut stream: Keyed, length: Option<u64>) -> Verdict {
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = reader.read(&mut buffer).await;
        match read.map_err(|error| format!("after {} bytes: {error}", stream.position()))? {
            0 => break,
            count => stream.check(&buffer[..count])?,
        }
    }
    match length {
        Some(length) if length != stream.position() => Err(format!(
            "ended after {} of {length} bytes",
            stream.position()
        )),
        _ => Ok(()),
    }
}

/// Reads what comes, which must be part of the stream; says whether a reset ended it.
async fn until_over(
    mut reader: ReadHalf<'_>,
    mut stream: Keyed,
    most: u64,
) -> Result<bool, String> {
    let mut buffer = vec![0; 256 * 1024];
    let reset = loop {
        match reader.read(&mut buffer).await {
            Ok(0) => break false,
            Ok(count) => stream.check(&buffer[..count])?,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break true,
            Err(error) => return Err(error.to_string()),
        }
    };
    if stream.position() > most {
        return Err(format!(
            "{} bytes came, {most} were sent",
            stream.position()
        ));
    }
    Ok(reset)
}

/// Plays `count` connections, at most `together` at once, and collects what both ends say.
pub(crate) async fn play_all(
    scene: Scene,
    address: SocketAddr,
    listener: TcpListener,
    count: u64,
    together: usize,
) -> Vec<String> {
    let (verdicts, mut servers) = mpsc::channel(1024);
    let serving = tokio::task::spawn_local(serve(scene, listener, verdicts));
    let permits = Rc::new(tokio::sync::Semaphore::new(together));
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..count {
        let permits = Rc::clone(&permits);
        clients.spawn_local(async move {
            let _permit = permits.acquire().await.expect("never closed");
            connect(scene, number, address).await
        });
    }
    let mut problems = Vec::new();
    for _ in 0..count {
        if let Err(problem) = servers.recv().await.expect("the server task runs") {
            problems.push(problem);
        }
    }
    for verdict in clients.join_all().await {
        problems.extend(verdict.err());
    }
    serving.abort();
    problems
}
