//! Exact lines of every shape; sinks that are slow, broken or stuck; and what happens then.
//! Nothing here touches the global subscriber: each test logs through one of its own.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime};

use super::line::{Record, Shape};
use super::queue::Queue;
use super::{Journal, Logging, Subscriber, filter, names};
use crate::config::LogLevel;

const TEXT: Shape = Shape::Text {
    coloured: false,
    prefixed: false,
};

/// Gives every record of `log` to `encode` instead of the queue, at a fixed time.
fn lines(shape: Shape, log: impl FnOnce()) -> String {
    struct Fixed(Shape, mpsc::Sender<Vec<u8>>);
    impl tracing::Subscriber for Fixed {
        fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
            true
        }
        fn event(&self, event: &tracing::Event<'_>) {
            let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_571_581_123);
            self.1.send(self.0.encode(&Record::of(event, at))).unwrap();
        }
        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }
        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
        fn enter(&self, _: &tracing::span::Id) {}
        fn exit(&self, _: &tracing::span::Id) {}
    }
    let (sender, receiver) = mpsc::channel();
    tracing::subscriber::with_default(Fixed(shape, sender), log);
    String::from_utf8(receiver.iter().flatten().collect()).unwrap()
}

fn sample() {
    tracing::warn!(
        target: "t",
        server = "rabbit-1",
        open = 3_u32,
        cause = "two words",
        up = false,
        delta = -1,
        ratio = 0.5,
        peer = ?Some(1),
        "it went down\nfor \x1b[31mred"
    );
}

#[test]
fn writes_text() {
    let plain = "2026-11-25T01:53:01.123Z WARN  it went down\\nfor \\u{1b}[31mred server=rabbit-1 \
                 open=3 cause=\"two words\" up=false delta=-1 ratio=0.5 peer=Some(1)\n";
    assert_eq!(lines(TEXT, sample), plain);
    let prefixed = Shape::Text {
        coloured: false,
        prefixed: true,
    };
    assert_eq!(lines(prefixed, sample), format!("<4>{plain}"));
    let coloured = Shape::Text {
        coloured: true,
        prefixed: false,
    };
    assert_eq!(
        lines(coloured, || tracing::error!("x")),
        "2026-11-25T01:53:01.123Z \x1b[31mERROR\x1b[0m x\n"
    );
}

#[test]
fn quotes_values_that_could_be_misread() {
    let log = || {
        tracing::info!(
            a = "",
            b = "x=y",
            c = "q\"q",
            d = "l\nl",
            e = "é\u{9b}",
            "m"
        )
    };
    let line = lines(TEXT, log);
    let expected = " m a=\"\" b=\"x=y\" c=\"q\\\"q\" d=\"l\\nl\" e=\"é\\u{9b}\"\n";
    assert!(line.ends_with(expected), "{line}");
}

#[test]
fn writes_json() {
    let line = lines(Shape::Json, sample);
    assert_eq!(
        line,
        "{\"timestamp\":\"2026-11-25T01:53:01.123Z\",\"level\":\"WARN\",\"target\":\"t\",\
         \"message\":\"it went down\\nfor \\u001b[31mred\",\"server\":\"rabbit-1\",\"open\":3,\
         \"cause\":\"two words\",\"up\":false,\"delta\":-1,\"ratio\":0.5,\"peer\":\"Some(1)\"}\n"
    );
    serde_json::from_str::<serde_json::Value>(&line).unwrap();
}

#[test]
fn cuts_long_values_between_characters() {
    let long = "é".repeat(5000);
    let line = lines(Shape::Json, || tracing::info!(long = %long, "{}x", long));
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    for field in ["message", "long"] {
        assert_eq!(value[field], format!("{}…", "é".repeat(1024)), "{field}");
    }
}

#[test]
fn counts_days_as_the_calendar_does() {
    let at = |seconds| {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let line = TEXT.encode(&Record::of_dropped(1, at));
        String::from_utf8(line).unwrap()[..24].to_owned()
    };
    assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
    assert_eq!(at(951_782_399), "2000-02-28T23:59:59.000Z");
    assert_eq!(at(951_782_400), "2000-02-29T00:00:00.000Z");
    assert_eq!(at(951_868_800), "2000-03-01T00:00:00.000Z");
    assert_eq!(at(1_735_689_599), "2024-12-31T23:59:59.000Z");
    assert_eq!(at(4_107_542_400), "2100-03-01T00:00:00.000Z");
}

fn log_to(sink: Box<dyn Write + Send>, shape: Shape, log: impl FnOnce()) -> Logging {
    let queue = Queue::start(shape, sink).unwrap();
    let subscriber = Subscriber {
        level: filter(LogLevel::Info),
        shape,
        queue: queue.clone(),
    };
    tracing::subscriber::with_default(subscriber, log);
    Logging { queue }
}

#[test]
fn flushes_everything_in_order_when_it_ends() {
    let (mut reader, writer) = io::pipe().unwrap();
    let logging = log_to(Box::new(writer), TEXT, || {
        for number in 0..300 {
            tracing::debug!("too detailed");
            tracing::info!(number, "line");
        }
    });
    drop(logging);
    let mut text = vec![0; 64 * 1024];
    let length = reader.read(&mut text).unwrap();
    let text = String::from_utf8_lossy(&text[..length]).into_owned();
    let numbers: Vec<i32> = text
        .lines()
        .map(|line| line.rsplit_once("line number=").unwrap().1.parse().unwrap())
        .collect();
    assert_eq!(numbers, (0..300).collect::<Vec<_>>());
}

/// Lines are lost, nobody waits, and whoever reads on learns how many are missing.
#[test]
fn never_waits_for_a_pipe_that_nobody_reads() {
    let (mut reader, writer) = io::pipe().unwrap();
    let started = Instant::now();
    let logging = log_to(Box::new(writer), TEXT, || {
        for number in 0..10_000 {
            tracing::info!(
                number,
                "a line that is long enough to fill the pipe after some"
            );
        }
    });
    assert!(started.elapsed() < Duration::from_secs(1));
    let dropped = logging.dropped().load(Ordering::Relaxed);
    assert!(dropped > 4_000, "{dropped} lines dropped");
    let ended = Instant::now();
    drop(logging);
    let waited = ended.elapsed();
    assert!(
        waited >= Duration::from_millis(400),
        "gave up after {waited:?}"
    );
    assert!(waited < Duration::from_secs(1), "waited {waited:?}");

    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    // The writer may have found the time for more than one report.
    let reports: Vec<u64> = text
        .lines()
        .filter_map(|line| line.split_once("log lines were dropped dropped="))
        .map(|(_, count)| count.parse().unwrap())
        .collect();
    assert_eq!(reports.iter().sum::<u64>(), dropped);
    assert_eq!(
        text.lines().count(),
        10_000 - usize::try_from(dropped).unwrap() + reports.len()
    );
}

#[test]
fn counts_lines_that_a_broken_sink_refused() {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let logging = log_to(Box::new(writer), TEXT, || {
        for _ in 0..10 {
            tracing::info!("nobody will see this");
        }
    });
    logging.queue.flush();
    assert_eq!(logging.dropped().load(Ordering::Relaxed), 10);
}

/// The fields of one datagram in systemd's native protocol.
fn journal_fields(mut datagram: &[u8]) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    while !datagram.is_empty() {
        let end = datagram.iter().position(|&byte| byte == b'\n').unwrap();
        let (name, rest) = datagram.split_at(end);
        let length = u64::from_le_bytes(*rest[1..].first_chunk().unwrap());
        let (value, rest) = rest[9..].split_at(usize::try_from(length).unwrap());
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        fields.push((text(name), text(value)));
        datagram = rest.strip_prefix(b"\n").unwrap();
    }
    fields
}

#[test]
fn speaks_the_journals_protocol_and_survives_a_stuck_journal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    assert!(Journal::connect(&path).is_err());
    let server = UnixDatagram::bind(&path).unwrap();
    let journal = Journal::connect(&path).unwrap();
    let started = Instant::now();
    let logging = log_to(Box::new(journal), Shape::Journal, || {
        tracing::error!(target: "t", server = "a\nb", _2nd.try_ = 2, "down");
        for _ in 0..10_000 {
            tracing::info!("a journal that hangs takes a few hundred of these");
        }
    });
    assert!(started.elapsed() < Duration::from_secs(1));
    assert!(logging.dropped().load(Ordering::Relaxed) > 4_000);
    let mut datagram = [0; 4096];
    assert_eq!(server.recv(&mut datagram).unwrap(), 0, "the greeting");
    let mut next = || {
        let length = server.recv(&mut datagram).unwrap();
        journal_fields(&datagram[..length])
    };
    let mut fields = next();
    if fields[0].1.starts_with("log lines were dropped") {
        // It comes before what is in the queue, which was full before the writer was there.
        fields = next();
    }
    let expected = [
        ("MESSAGE", r#"down server="a\nb" _2nd.try_=2"#),
        ("PRIORITY", "3"),
        ("SYSLOG_IDENTIFIER", "warren"),
        ("TARGET", "t"),
        ("SERVER", "a\nb"),
        ("ND_TRY_", "2"),
    ];
    assert_eq!(
        fields,
        expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
}

#[test]
fn recognises_its_stream_by_device_and_inode() {
    use std::os::unix::fs::MetadataExt;
    let file = tempfile::tempfile().unwrap();
    let metadata = file.metadata().unwrap();
    let stream = format!("{}:{}", metadata.dev(), metadata.ino());
    assert!(names(&stream, &file));
    assert!(!names(&format!("{stream}0"), &file));
    assert!(!names("", &file));
}
