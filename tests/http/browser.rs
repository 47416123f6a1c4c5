//! Headless Chromium by its DevTools protocol, over a pair of pipes: descriptor 3 is read, 4 is
//! written, each message ends with a zero byte.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::sys::stat::Mode;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::node::Program;
use crate::skip::skip;

/// How long anything may take: a browser that starts on a busy machine takes its time.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with one page.
pub(crate) struct Browser {
    _home: TempDir,
    _program: Program,
    input: File,
    messages: Receiver<Value>,
    calls: u64,
    session: Option<String>,
    /// What the page wrote to its console, and what was wrong with it.
    pub(crate) complaints: Vec<String>,
}

impl Browser {
    /// Starts it; `None`, said as a skip, when it is missing.
    pub(crate) fn start() -> Option<Self> {
        if !Path::new("/usr/bin/chromium").exists() {
            skip("chromium is not installed");
            return None;
        }
        let home = tempfile::tempdir().unwrap();
        let pipe = |name: &str| {
            let path = home.path().join(name);
            nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
            // Both ways, so that nobody waits for the other to open it.
            let file = OpenOptions::new().read(true).write(true).open(&path);
            (path, file.unwrap())
        };
        let ((in_path, input), (out_path, output)) = (pipe("in"), pipe("out"));
        let mut command = Command::new("sh");
        command
            .args(["-c", "exec chromium \"$@\" 3<\"$IN\" 4>\"$OUT\"", "sh"])
            // Root has to do without its sandbox; a container has a small /dev/shm.
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
            ])
            .args([
                "--remote-debugging-pipe",
                "--no-first-run",
                "--hide-scrollbars",
            ])
            .arg(format!(
                "--user-data-dir={}",
                home.path().join("data").display()
            ))
            .env("IN", &in_path)
            .env("OUT", &out_path)
            .env("HOME", home.path());
        let program = Program::start(&mut command, home.path())?;
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            for message in BufReader::new(output).split(0) {
                let Ok(message) = message else { return };
                if sender
                    .send(serde_json::from_slice(&message).unwrap())
                    .is_err()
                {
                    return;
                }
            }
        });
        let mut browser = Self {
            _home: home,
            _program: program,
            input,
            messages,
            calls: 0,
            session: None,
            complaints: Vec::new(),
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", attach);
        browser.session = Some(session["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        Some(browser)
    }

    /// Calls a method and returns its result.
    pub(crate) fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.calls += 1;
        let mut message = json!({ "id": self.calls, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.input.write_all(&bytes).unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let message = self.messages.recv_timeout(left);
            let message = message.unwrap_or_else(|_| panic!("no answer to {method}"));
            if message["id"] == self.calls {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].clone();
            }
            const BAD: [&str; 3] = [
                "Runtime.consoleAPICalled",
                "Runtime.exceptionThrown",
                "Log.entryAdded",
            ];
            if BAD.iter().any(|bad| message["method"] == *bad) {
                self.complaints.push(message["params"].to_string());
            }
        }
    }

    /// Opens a page in a window of this size, as a phone or a desk has it.
    pub(crate) fn open(&mut self, url: &str, width: u32, height: u32) {
        let size = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600,
        });
        self.call("Emulation.setDeviceMetricsOverride", size);
        let opened = self.call("Page.navigate", json!({ "url": url }));
        assert!(opened["errorText"].is_null(), "{opened}");
    }

    /// The value of an expression in the page.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let ask = json!({ "expression": expression, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", ask);
        assert!(
            answer["exceptionDetails"].is_null(),
            "{expression}: {answer}"
        );
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    pub(crate) fn until(&mut self, expression: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.value(expression) != Value::Bool(true) {
            if Instant::now() > deadline {
                let text = self.value("document.body.innerText");
                let complaints = &self.complaints;
                panic!("in vain waited for {expression} in {text}\n{complaints:?}");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The page as it looks, as a PNG in base64.
    pub(crate) fn picture(&mut self) -> String {
        let shot = self.call("Page.captureScreenshot", json!({ "format": "png" }));
        shot["data"].as_str().unwrap().to_owned()
    }
}
