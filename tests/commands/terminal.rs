//! A program on a terminal of its own, as somebody sees it who sits there.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::pty::{Winsize, openpty};
use nix::unistd::ttyname;

use crate::PATIENCE;

/// The program and what it has written. Killed when dropped.
pub(crate) struct Terminal {
    child: Child,
    keyboard: File,
    written: Arc<Mutex<Vec<u8>>>,
    device: String,
}

impl Terminal {
    /// Starts a program in a session of its own, whose terminal has this size.
    pub(crate) fn start(program: &str, words: &[&str], lines: u16, columns: u16) -> Self {
        let size = Winsize {
            ws_row: lines,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pair = openpty(Some(&size), None).unwrap();
        let device = ttyname(&pair.slave).unwrap().display().to_string();
        let keyboard = File::from(pair.master);
        let screen = keyboard.try_clone().unwrap();
        let slave = File::from(pair.slave);
        let mut command = Command::new("setpriv");
        // A shell that starts the tests in the background has them ignore what a terminal sends.
        command.args(["--pdeathsig", "KILL", "--", "env", "--default-signal"]);
        command.args(["setsid", "--ctty", program]);
        command.args(words).env("TERM", "xterm");
        command
            .stdin(slave.try_clone().unwrap())
            .stdout(slave.try_clone().unwrap())
            .stderr(slave);
        let child = command.spawn().unwrap();
        // It holds the other end, and would keep it open.
        drop(command);
        let written = Arc::default();
        let sink = Arc::clone(&written);
        std::thread::spawn(move || collect(screen, &sink));
        Self {
            child,
            keyboard,
            written,
            device,
        }
    }

    /// What has been written so far.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().unwrap()).into_owned()
    }

    /// Waits until what was written is as it should be.
    pub(crate) fn until(&self, what: &str, condition: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let text = self.text();
            if condition(&text) {
                return text;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "in vain waited for: {what}\n{text:?}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Makes the terminal another size, which the kernel tells the program.
    pub(crate) fn resize(&self, lines: u16, columns: u16) {
        let mut stty = Command::new("stty");
        stty.args(["-F", &self.device]);
        stty.args(["rows", &lines.to_string(), "columns", &columns.to_string()]);
        assert!(stty.status().unwrap().success());
    }

    /// Waits for the end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "it does not end: {:?}",
                self.text()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Until the last program that holds the terminal has gone.
fn collect(mut screen: File, sink: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = screen.read(&mut buffer) {
        sink.lock().unwrap().extend_from_slice(&buffer[..read]);
    }
}
