//! One client of the HTTP side: a request in, an answer out, and the end of the connection.

use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Side;
use super::answer::{Answer, Body, answer, refused};
use super::request::{LONGEST_HEAD, Request, parse};
use crate::admin::guests::Moved;

/// How long a client may take to send its request.
const ASKING: Duration = Duration::from_secs(10);

/// How long it may take for one piece of the answer.
const STILL: Duration = Duration::from_secs(10);

/// How long it may take for all of it.
const WHOLE: Duration = Duration::from_secs(60);

/// How long it may go on sending after the answer.
const FAREWELL: Duration = Duration::from_secs(1);

/// Serves one client until it has its answer, is too slow, or gone; `moved` tells when it last sent
/// or took something.
pub(super) async fn serve(mut stream: TcpStream, side: Rc<Side>, moved: Moved) {
    let served = async {
        let Some((answer, request)) = timeout(ASKING, ask(&mut stream, &side, &moved)).await??
        else {
            return Ok(());
        };
        timeout(WHOLE, write(&mut stream, answer, request.as_ref(), &moved)).await??;
        io::Result::Ok(())
    };
    if let Err(error) = served.await {
        tracing::debug!(%error, "a client of the HTTP side was cut off");
        return;
    }
    // What is still unread would turn the close into a reset, which could overtake the answer.
    let _ = stream.shutdown().await;
    let mut rest = [0; 4096];
    let _ = timeout(FAREWELL, async {
        while stream.read(&mut rest).await.is_ok_and(|read| read > 0) {}
    })
    .await;
}

/// Reads a request and finds its answer; `None`: the client has gone without one.
async fn ask(
    stream: &mut TcpStream,
    side: &Side,
    moved: &Moved,
) -> io::Result<Option<(Answer, Option<Request>)>> {
    let mut head = Vec::new();
    loop {
        let mut buffer = [0; 2048];
        let read = stream.read(&mut buffer).await?;
        moved.set(Instant::now());
        if read == 0 {
            let unfinished = io::Error::new(ErrorKind::UnexpectedEof, "half a request");
            return if head.is_empty() {
                Ok(None)
            } else {
                Err(unfinished)
            };
        }
        head.extend_from_slice(&buffer[..read]);
        debug_assert!(head.len() < LONGEST_HEAD + buffer.len());
        match parse(&head) {
            None => {}
            Some(Err(refusal)) => return Ok(Some((refused(refusal), None))),
            Some(Ok(request)) => {
                let local = stream.local_addr()?.ip().to_canonical().is_loopback();
                let answer = answer(&request, local, side);
                return Ok(Some((answer, Some(request))));
            }
        }
    }
}

async fn write(
    stream: &mut TcpStream,
    answer: Answer,
    request: Option<&Request>,
    moved: &Moved,
) -> io::Result<()> {
    let chunked = request.is_none_or(|request| !request.old);
    let mut send = async |bytes: &[u8]| -> io::Result<()> {
        timeout(STILL, stream.write_all(bytes)).await??;
        moved.set(Instant::now());
        Ok(())
    };
    let head = answer.head(chunked);
    if request.is_some_and(|request| request.head_only) {
        return send(head.as_bytes()).await;
    }
    match answer.body {
        Body::Text(text) => send((head + &text).as_bytes()).await,
        Body::Pieces(pieces) => {
            send(head.as_bytes()).await?;
            for piece in pieces {
                if chunked {
                    send(format!("{:x}\r\n{piece}\r\n", piece.len()).as_bytes()).await?;
                } else {
                    send(piece.as_bytes()).await?;
                }
                // A socket that takes everything must not keep checks and commands waiting.
                tokio::task::yield_now().await;
            }
            if chunked {
                send(b"0\r\n\r\n").await
            } else {
                Ok(())
            }
        }
    }
}
