//! `credsmith dev` as a process: it serves on loopback, does the main job, and ends as it should.

#![cfg(test)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

/// Long enough for a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

const BODY: &str = r#"{"service_id":"info"}"#;

struct Dev {
    child: Child,
    public: String,
    issuer: String,
    stdout: BufReader<ChildStdout>,
    stderr: BufReader<ChildStderr>,
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Dev {
    fn start(data: Option<&Path>) -> Self {
        Self::start_at("127.0.0.1:0", data)
    }

    fn start_at(provider: &str, data: Option<&Path>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_credsmith"));
        command.args(["dev", "--listen", "127.0.0.1:0", "--provider-listen", provider]);
        if let Some(data) = data {
            command.arg("--data").arg(data);
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let public = line.strip_prefix("ready http://").expect(&line).trim().to_owned();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let issuer = loop {
            let mut said = String::new();
            assert_ne!(stderr.read_line(&mut said).unwrap(), 0, "no welcome");
            if let Some((_, issuer)) = said.split_once("with a demo provider at http://") {
                break issuer.trim().trim_end_matches('.').to_owned();
            }
        };
        Self { child, public, issuer, stdout, stderr }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("sh")
            .args(["-c", &format!("kill -{name} {}", self.child.id())])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Reads on until a line of the log has `text` in it.
    fn wait_for_line(&mut self, text: &str) {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert_ne!(
                self.stderr.read_line(&mut line).unwrap(),
                0,
                "it ended without saying {text:?}"
            );
        }
    }

    /// Exit code and the rest of standard error. Standard output has had its one line.
    fn ended(mut self) -> (Option<i32>, String) {
        let (mut printed, mut said) = (String::new(), String::new());
        self.stdout.read_to_string(&mut printed).unwrap();
        self.stderr.read_to_string(&mut said).unwrap();
        assert_eq!(printed, "");
        (self.child.wait().unwrap().code(), said)
    }

    /// A request that the daemon has in work: it waits for the body.
    fn half_a_request(&self, token: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.public).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let host = &self.public;
        write!(
            stream,
            "POST /api/v2/dev/credential HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
            BODY.len()
        )
        .unwrap();
        // The server sends this once the body is being read.
        let mut go_on = [0; 25];
        stream.read_exact(&mut go_on).unwrap();
        assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
        stream
    }

    fn token(&self, user: &str) -> String {
        let answer = ask(
            &self.issuer,
            &format!("GET /dev/token?user={user} HTTP/1.1\r\nHost: {}\r\n", self.issuer),
            "",
        );
        answer.body.trim().to_owned()
    }

    fn call(&self, token: &str, method_and_path: &str, body: &str) -> Answer {
        let head = format!(
            "{method_and_path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n",
            self.public
        );
        ask(&self.public, &head, body)
    }
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}{}", self.head, self.body))
    }
}

fn ask(address: &str, head: &str, body: &str) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "{head}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    let mut headers = answer.head.lines().filter_map(|line| line.split_once(": "));
    let found = headers.find(|(found, _)| found.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value).unwrap_or_else(|| panic!("no {name}: {}", answer.head))
}

#[test]
fn it_does_the_main_job_twice_and_ends_at_term() {
    let dev = Dev::start(None);
    let token = dev.token("alice");
    for _ in 0..2 {
        let listed = dev.call(&token, "GET /api/v2/dev/service", "").json();
        let ids: Vec<_> = listed["service_list"]
            .as_array()
            .unwrap()
            .iter()
            .map(|service| service["id"].clone())
            .collect();
        assert_eq!(ids, ["info", "ssh", "admins"]);

        let requested = dev.call(&token, "POST /api/v2/dev/credential", BODY);
        assert_eq!(requested.status, 303, "{}{}", requested.head, requested.body);
        let path = header(&requested, "location")
            .strip_prefix(&format!("http://{}", dev.public))
            .unwrap()
            .to_owned();
        let fetched = dev.call(&token, &format!("GET {path}"), "").json();
        assert_eq!(fetched["result"], "ok", "{fetched}");
        let id = fetched["credential"]["id"].as_str().unwrap().to_owned();
        assert_eq!(dev.call(&token, &format!("GET {path}"), "").status, 404, "it is read once");

        let revoked = dev.call(&token, &format!("DELETE /api/v2/dev/credential/{id}"), "");
        assert_eq!(revoked.status, 200, "{}", revoked.body);
    }
    dev.signal("TERM");
    let (status, said) = dev.ended();
    assert_eq!(status, Some(0), "{said}");
    assert!(!said.contains(&token), "a token was logged");
}

#[test]
fn only_loopback_names_are_answered_and_nothing_is_shared_with_other_origins() {
    let dev = Dev::start(None);
    for (address, path) in
        [(&dev.public, "/api/v2/info"), (&dev.issuer, "/.well-known/openid-configuration")]
    {
        let port = address.rsplit_once(':').unwrap().1;
        for host in
            [format!("127.0.0.1:{port}"), format!("localhost:{port}"), format!("[::1]:{port}")]
        {
            let answer = ask(
                address,
                &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nOrigin: http://evil.example\r\n"),
                "",
            );
            assert_eq!(answer.status, 200, "{host}: {}", answer.head);
            assert!(
                !answer.head.to_ascii_lowercase().contains("access-control-"),
                "{}",
                answer.head
            );
        }
        for host in
            [format!("evil.example:{port}"), "localhost:1".to_owned(), "evil.example".to_owned()]
        {
            let answer = ask(address, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n"), "");
            assert_eq!(answer.status, 421, "{host}: {}", answer.head);
        }
    }
}

#[test]
fn kept_data_is_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("d");
    let dev = Dev::start(Some(&data));
    let token = dev.token("bob");
    let requested = dev.call(&token, "POST /api/v2/dev/credential", BODY);
    assert_eq!(requested.status, 303, "{}", requested.body);
    // A user is a user of an issuer, and the issuer's name has the port in it.
    let provider = dev.issuer.clone();
    dev.signal("INT");
    let (status, said) = dev.ended();
    assert_eq!(status, Some(0), "{said}");

    let dev = Dev::start_at(&provider, Some(&data));
    for (user, count) in [("bob", 1), ("alice", 0)] {
        let listed = dev.call(&dev.token(user), "GET /api/v2/dev/credential", "").json();
        assert_eq!(listed["credential_list"].as_array().unwrap().len(), count, "{user}: {listed}");
    }
    let readiness = ask_socket(&data.join("admin.sock"), "/healthz");
    assert!(readiness.starts_with("HTTP/1.1 200"), "{readiness}");
    assert!(ask_socket(&data.join("admin.sock"), "/readyz").contains("\"ready\":"));
}

fn ask_socket(path: &Path, what: &str) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {what} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_request_in_work_is_finished_and_a_second_signal_ends_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("d");
    let mut dev = Dev::start(Some(&data));
    let token = dev.token("alice");
    let mut stream = dev.half_a_request(&token);
    dev.signal("TERM");
    dev.wait_for_line("a signal came");
    stream.write_all(BODY.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 303 "), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
    let (status, said) = dev.ended();
    assert_eq!(status, Some(0), "{said}");

    let mut dev = Dev::start(Some(&data));
    let token = dev.token("alice");
    let _stream = dev.half_a_request(&token);
    dev.signal("TERM");
    dev.wait_for_line("a signal came");
    dev.signal("TERM");
    let (status, said) = dev.ended();
    assert_eq!(status, Some(3), "{said}");
    assert!(said.contains("Ended at once by a second signal"), "{said}");
}
