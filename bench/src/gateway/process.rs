//! Processes that stand in the middle: how they are set up, started and looked at.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::TempDir;

use crate::measure::now;
use crate::payload::Route;

/// The key that callers show.
pub(crate) const KEY: &str = "sk-infer-bench-0123456789abcdefghijklmnop";
/// The longest a process may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The pause between two looks at whether it answers.
const LOOK: Duration = Duration::from_micros(200);

/// Where processes find their files.
#[derive(Debug)]
pub(crate) struct Setup {
    folder: TempDir,
    upstream: u16,
    infer: PathBuf,
}

impl Setup {
    /// For the upstream at `upstream`.
    pub(crate) fn new(upstream: u16) -> Result<Self> {
        let own = std::env::current_exe().context("this program cannot find itself")?;
        let infer = own.with_file_name(format!("infer{}", std::env::consts::EXE_SUFFIX));
        ensure!(
            infer.exists(),
            "there is no {}: build it with `cargo build --release -p infer-cmd`",
            infer.display()
        );
        Ok(Self { folder: TempDir::new()?, upstream, infer })
    }

    /// nginx with one worker, connections to the upstream that are kept, and no log; streams are passed on unbuffered.
    pub(crate) fn nginx(&self) -> Result<Proxy> {
        let port = free_port()?;
        let folder = TempDir::new_in(&self.folder)?;
        let place = folder.path().display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {place}/{kind};\n"))
            .concat();
        let pass = "proxy_pass http://upstream; proxy_http_version 1.1; proxy_set_header Connection \"\"";
        let text = format!(
            "daemon off; master_process off; pid {place}/pid; error_log {place}/error.log;\n\
             worker_rlimit_nofile 16384;\n\
             events {{ worker_connections 16384; }}\n\
             http {{\naccess_log off; {temporary} client_max_body_size 32m; keepalive_requests 1000000000;\n\
             upstream upstream {{ server 127.0.0.1:{}; keepalive 256; keepalive_requests 1000000000; }}\n\
             server {{ listen 127.0.0.1:{port};\n\
             location /healthz {{ return 200; }}\n\
             location /{}/ {{ {pass}; client_body_buffer_size 2m; }}\n\
             location / {{ {pass}; proxy_buffering off; }} }} }}\n",
            self.upstream,
            Route::Unary.name(),
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, text)?;
        let mut command = Command::new("nginx");
        command.arg("-e").arg(folder.path().join("error.log")).arg("-p").arg(folder.path());
        command.arg("-c").arg(&file);
        Proxy::start(command, port, folder)
    }

    /// `infer serve` on one thread, with a key, a limit of it, and a ledger, and like nginx without a line for every request.
    pub(crate) fn gateway(&self) -> Result<Proxy> {
        let port = free_port()?;
        let folder = TempDir::new_in(&self.folder)?;
        let names = || Route::ALL.iter().map(|route| route.name());
        let provider = |name| {
            let base = format!("http://127.0.0.1:{}/{name}/v1", self.upstream);
            format!("  {name}: {{ type: openai, base_url: \"{base}\", api_key: sk-upstream }}\n")
        };
        let providers: String = names().map(provider).collect();
        let route = |name| format!("  {name}: {{ targets: [{{ provider: {name} }}] }}\n");
        let routes: String = names().map(route).collect();
        let text = format!(
            "providers:\n{providers}routes:\n{routes}\
             keys: [{{ name: bench, secret: {KEY}, limits: {{ requests_per_minute: 100000000 }} }}]\n\
             observability: {{ log: {{ level: warn }} }}\n\
             gateway: {{ listen: \"127.0.0.1:{port}\", admission: {{ max_in_flight: 4000 }} }}\n"
        );
        let file = folder.path().join("llm.yaml");
        std::fs::write(&file, text)?;
        let mut command = Command::new(&self.infer);
        command.args(["serve", "--threads", "1", "--config"]).arg(&file);
        command.arg("--data").arg(folder.path().join("data"));
        Proxy::start(command, port, folder)
    }
}

/// Whether nginx is installed.
pub(crate) fn has_nginx() -> bool {
    Command::new("nginx").arg("-v").stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// A process in the middle. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Proxy {
    child: Child,
    port: u16,
    ready_after: Duration,
    folder: TempDir,
}

impl Proxy {
    fn start(mut command: Command, port: u16, folder: TempDir) -> Result<Self> {
        let log = std::fs::File::create(folder.path().join("log"))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let started = now();
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().with_context(|| format!("{name} cannot be started"))?;
        let mut proxy = Self { child, port, ready_after: Duration::ZERO, folder };
        while !is_ready(port) {
            if let Some(status) = proxy.child.try_wait()? {
                let said = said(proxy.folder.path());
                bail!("{name} ended with {status}: {said}");
            }
            ensure!(started.elapsed() < PATIENCE, "{name} does not answer");
            std::thread::sleep(LOOK);
        }
        proxy.ready_after = started.elapsed();
        Ok(proxy)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// From the start of the process to its first answer.
    pub(crate) fn ready_after(&self) -> Duration {
        self.ready_after
    }

    /// The memory it holds, files that are mapped included.
    pub(crate) fn resident_bytes(&self) -> Result<usize> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS in status")?;
        let kilobytes: usize = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kilobytes << 10)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// What a process wrote before it ended.
fn said(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("log")).unwrap_or_default().trim().to_owned()
}

fn is_ready(port: u16) -> bool {
    let asked = || -> std::io::Result<[u8; 12]> {
        let mut socket = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port)))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.write_all(b"GET /healthz HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n")?;
        let mut head = [0; 12];
        socket.read_exact(&mut head)?;
        Ok(head)
    };
    asked().is_ok_and(|head| &head == b"HTTP/1.1 200")
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
