use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

/// A headless Chromium with one tab, driven by the DevTools protocol over a pair of pipes.
pub struct Browser {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    session: Option<String>,
    calls: u64,
    events: Vec<Value>,
    _profile: tempfile::TempDir,
}

/// The browser in CHROMIUM, or the first one on PATH. One that is named in CHROMIUM has to exist.
fn program() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("CHROMIUM").filter(|n| !n.is_empty()) {
        return Some(named.into());
    }
    let names = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).flat_map(|dir| names.map(|name| dir.join(name))).find(|file| file.is_file())
}

impl Browser {
    /// Starts it with a window of `width` by `height` CSS pixels. Where there is none, says so, past the test harness' capture,
    /// and returns `None`.
    pub fn start(width: u32, height: u32) -> Option<Browser> {
        static TOLD: AtomicBool = AtomicBool::new(false);
        let Some(program) = program() else {
            if !TOLD.swap(true, Ordering::Relaxed) {
                let told = "NOT RUN: the tests of report.html in a browser; install chromium, or name one in CHROMIUM";
                writeln!(std::io::stderr(), "{told}").expect("there is a standard error");
            }
            return None;
        };
        let profile = tempfile::tempdir().expect("there is room for a profile");
        // Chromium reads commands from descriptor 3 and answers on 4; the shell puts our pipes there.
        let mut process = Command::new("sh")
            .args(["-c", r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1"#])
            .arg(&program)
            .args(["--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-extensions", "--disable-dev-shm-usage"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell starts");
        let input = process.stdin.take().expect("it is piped");
        let output = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut browser =
            Browser { process, input, output, session: None, calls: 0, events: Vec::new(), _profile: profile };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        browser.session = browser.call("Target.attachToTarget", attach)["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser.resize(width, height);
        Some(browser)
    }

    fn next(&mut self) -> Value {
        let mut message = Vec::new();
        self.output.read_until(0, &mut message).expect("the browser can be read from");
        assert_eq!(message.pop(), Some(0), "the browser ended");
        serde_json::from_slice(&message).expect("the browser answers in JSON")
    }

    /// Calls a method and returns its result. Events that come before it are kept.
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        self.calls += 1;
        let mut message = json!({ "id": self.calls, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.input.write_all(&bytes).and_then(|()| self.input.flush()).expect("the browser takes commands");
        loop {
            let mut answer = self.next();
            if answer["id"] == self.calls {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].take();
            }
            self.events.push(answer);
        }
    }

    /// Opens a file and waits until its script has run.
    pub fn open(&mut self, file: &Path) {
        self.events.clear();
        let file = file.canonicalize().expect("the page exists");
        self.call("Page.navigate", json!({ "url": format!("file://{}", file.display()) }));
        while !self.events.iter().any(|e| e["method"] == "Page.loadEventFired") {
            let event = self.next();
            self.events.push(event);
        }
        let ready = self.eval("document.documentElement.dataset.ready");
        assert_eq!(ready, "yes", "the page's script did not end: {:?}", self.complaints());
    }

    /// The value of an expression in the page.
    pub fn eval(&mut self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut answer = self.call("Runtime.evaluate", params);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].take()
    }

    /// As [`Browser::eval`], as text.
    pub fn text(&mut self, expression: &str) -> String {
        self.eval(expression).as_str().unwrap_or_default().to_owned()
    }

    pub fn resize(&mut self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.call("Emulation.setDeviceMetricsOverride", size);
    }

    /// `print` or nothing for the medium, `dark` or `light` for the scheme.
    pub fn medium(&mut self, medium: &str, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "media": medium, "features": features }));
    }

    /// Moves the pointer there, and clicks where `click` says so.
    pub fn point(&mut self, x: f64, y: f64, click: bool) {
        self.call("Input.dispatchMouseEvent", json!({ "type": "mouseMoved", "x": x, "y": y }));
        if click {
            for kind in ["mousePressed", "mouseReleased"] {
                let event = json!({ "type": kind, "x": x, "y": y, "button": "left", "clickCount": 1 });
                self.call("Input.dispatchMouseEvent", event);
            }
        }
    }

    pub fn key(&mut self, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            self.call("Input.dispatchKeyEvent", json!({ "type": kind, "key": key, "code": key }));
        }
    }

    /// Chooses an option of the labelled select.
    pub fn choose(&mut self, label: &str, option: &str) {
        let found = self.eval(&format!(
            "(() => {{
                const label = [...document.querySelectorAll('label')].find((l) => l.firstChild.textContent === {label:?});
                const box = label && label.querySelector('select');
                const option = box && [...box.options].find((o) => o.textContent === {option:?});
                if (!option) return false;
                box.value = option.value;
                box.dispatchEvent(new Event('change'));
                return true;
            }})()"
        ));
        assert_eq!(found, true, "there is no {option:?} under {label:?}");
    }

    /// Keeps a picture of the whole page where GEMMSCOPE_GALLERY says, to be looked at.
    pub fn keep(&mut self, name: &str) {
        let Some(folder) = std::env::var_os("GEMMSCOPE_GALLERY") else { return };
        let height = self.eval("document.documentElement.scrollHeight").as_f64().unwrap_or(1000.0).min(8000.0);
        let width = self.eval("document.documentElement.clientWidth");
        let clip = json!({ "x": 0, "y": 0, "width": width, "height": height, "scale": 1 });
        let shot = self.call("Page.captureScreenshot", json!({ "captureBeyondViewport": true, "clip": clip }));
        let bytes = shot["data"].as_str().expect("a picture has bytes");
        let bytes = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, bytes).expect("they are base64");
        std::fs::write(Path::new(&folder).join(format!("{name}.png")), bytes).expect("the gallery can be written");
        // Taking it changes the window for a moment, and the page draws itself again.
        self.eval("new Promise((done) => setTimeout(done, 300))");
    }

    /// What the page complained of, and what it asked of the network or of other files.
    pub fn complaints(&self) -> Vec<String> {
        let told = |event: &Value| -> Option<String> {
            let params = &event["params"];
            match event["method"].as_str()? {
                "Runtime.exceptionThrown" => Some(params["exceptionDetails"].to_string()),
                "Runtime.consoleAPICalled" => Some(format!("console: {}", params["args"])),
                "Log.entryAdded" => Some(format!("log: {}", params["entry"])),
                // The page itself is the one request there is.
                "Network.requestWillBeSent" if params["type"] != "Document" => {
                    Some(format!("request: {}", params["request"]["url"]))
                }
                _ => None,
            }
        };
        self.events.iter().filter_map(told).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The shell became the browser, whose own children end with it.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
