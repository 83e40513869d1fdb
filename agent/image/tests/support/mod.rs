//! A real registry on loopback, a proxy that harms what passes, and images to pull.
#![allow(dead_code, clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hoist_image::tarball::{Entry, EntryKind, TarWriter};
use hoist_image::{Digest, Image, Images, ImportOptions, Options, Platform, PushOptions, Reference};

/// What the registry asks for.
#[derive(Default)]
pub struct Wishes {
    /// `user:password`.
    pub htpasswd: Option<(&'static str, &'static str)>,
    /// With a certificate of an authority of its own, which lies in `ca.crt`.
    pub tls: bool,
    /// More lines for its configuration.
    pub config: String,
}

/// Debian's registry, on a free port, with a directory of its own. It ends when dropped.
pub struct Registry {
    pub dir: tempfile::TempDir,
    pub port: u16,
    child: Child,
}

pub fn sh(script: &str, dir: &Path) -> String {
    let output = Command::new("sh").args(["-ec", script]).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Registry {
    pub fn start() -> Registry {
        Registry::with(Wishes::default())
    }

    pub fn with(wishes: Wishes) -> Registry {
        // Another process may take the port between the look and the start.
        for _ in 0..5 {
            if let Some(registry) = Registry::try_start(&wishes) {
                return registry;
            }
        }
        panic!("the registry does not start");
    }

    fn try_start(wishes: &Wishes) -> Option<Registry> {
        let dir = tempfile::tempdir().unwrap();
        let port = free_port();
        let root = dir.path().display();
        let mut config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage:\n  delete: {{enabled: true}}\n  filesystem: {{rootdirectory: {root}/data}}\nhttp:\n  addr: 127.0.0.1:{port}\n"
        );
        if wishes.tls {
            sh(CERTIFICATES, dir.path());
            config += &format!("  tls: {{certificate: {root}/server.crt, key: {root}/server.key}}\n");
        }
        config += &wishes.config.replace("$DIR", &root.to_string());
        if let Some((user, password)) = wishes.htpasswd {
            sh(&format!("htpasswd -Bbn {user} {password} > htpasswd"), dir.path());
            config += &format!("auth:\n  htpasswd: {{realm: test, path: {root}/htpasswd}}\n");
        }
        fs_err::write(dir.path().join("config.yml"), config).unwrap();
        let log = fs_err::File::create(dir.path().join("log")).unwrap().into_parts().0;
        let child = Command::new("docker-registry")
            .args(["serve", dir.path().join("config.yml").to_str().unwrap()])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("docker-registry is installed");
        let mut registry = Registry { dir, port, child };
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if registry.child.try_wait().unwrap().is_some() || Instant::now() > deadline {
                return None;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(registry)
    }

    /// `127.0.0.1:<port>/<path>`.
    /// Pushes an image for each of these platforms, and an index of them; returns the index's digest.
    pub async fn publish_index(&self, path: &str, (tag, kind): (&str, &str), platforms: &[&str]) -> Digest {
        let mut entries = Vec::new();
        for platform in platforms {
            let name = self.name(&format!("{path}:{}", platform.replace('/', "-")));
            let store = Store::new().await;
            let offered: Platform = platform.parse().unwrap();
            let options =
                ImportOptions { reference: Some(name.clone()), platform: Some(offered.clone()), ..Default::default() };
            let files = tree(&[("platform", platform.as_bytes())]);
            store.images.import(std::io::Cursor::new(files), options).await.unwrap();
            let pushed = store.images.push(&name, PushOptions::default(), Arc::new(())).await.unwrap();
            entries.push(serde_json::json!({
                "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
                "digest": pushed.digest, "size": pushed.size, "platform": offered,
            }));
        }
        let index = serde_json::json!({"schemaVersion": 2, "mediaType": kind, "manifests": entries}).to_string();
        // The library brings its TLS settings itself; here plain HTTP is enough, but a client wants a provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let url = format!("http://127.0.0.1:{}/v2/{path}/manifests/{tag}", self.port);
        let request =
            reqwest::Client::builder().no_proxy().build().unwrap().put(url).header("content-type", kind.to_owned());
        let answer = request.body(index.clone()).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
        Digest::of(index.as_bytes())
    }

    pub fn name(&self, path: &str) -> Reference {
        at(self.port, path)
    }
}

pub fn at(port: u16, path: &str) -> Reference {
    Reference::parse(&format!("127.0.0.1:{port}/{path}")).unwrap()
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An authority, and a server certificate for 127.0.0.1.
pub const CERTIFICATES: &str = r#"
    openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 2 -subj /CN=test-authority 2>/dev/null
    openssl req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=registry 2>/dev/null
    printf 'subjectAltName=IP:127.0.0.1,DNS:localhost' > ext
    openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out server.crt -days 2 -extfile ext 2>/dev/null
"#;

/// A store in a directory of its own.
pub struct Store {
    pub dir: tempfile::TempDir,
    pub images: Images,
}

impl Store {
    pub async fn new() -> Store {
        Store::with(Options::default()).await
    }

    pub async fn with(options: Options) -> Store {
        let dir = tempfile::tempdir().unwrap();
        let images = Images::open(dir.path(), options).await.unwrap();
        Store { dir, images }
    }

    /// Bytes in blobs that are arriving.
    pub fn partial(&self) -> u64 {
        fs_err::read_dir(self.dir.path().join("blobs/partial"))
            .unwrap()
            .map(|e| e.unwrap().metadata().unwrap().len())
            .sum()
    }

    /// Names below a directory of the data root.
    pub fn names(&self, sub: &str) -> Vec<String> {
        let entries = fs_err::read_dir(self.dir.path().join(sub)).unwrap();
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }
}

pub fn tree(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = TarWriter::new(Vec::new());
    for (name, data) in files {
        let entry = Entry { size: data.len() as u64, ..Entry::new(*name, EntryKind::File, 0o644) };
        writer.append(&entry, &mut &data[..]).unwrap();
    }
    writer.finish().unwrap()
}

/// Bytes that do not compress, the same for the same seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}

/// Makes an image of these files in some store, and pushes it.
pub async fn publish(reference: &Reference, files: &[(&str, &[u8])]) -> Image {
    publish_with(reference, files, PushOptions::default(), Options::default()).await
}

pub async fn publish_with(
    reference: &Reference,
    files: &[(&str, &[u8])],
    push: PushOptions,
    options: Options,
) -> Image {
    let store = Store::with(options).await;
    let bytes = tree(files);
    let import = ImportOptions {
        reference: Some(reference.clone()),
        changes: vec!["CMD [\"/bin/sh\"]".into()],
        ..Default::default()
    };
    let image = store.images.import(std::io::Cursor::new(bytes), import).await.unwrap();
    store.images.push(reference, push, Arc::new(())).await.unwrap();
    image
}

/// What a proxy does to one connection's answer.
#[derive(Clone, Copy, Debug)]
pub enum Harm {
    /// Nothing.
    None,
    /// Closes after so many bytes of the answer.
    CutAfter(usize),
    /// Flips a bit of the byte at this place of the answer's body, once it is longer.
    FlipAt(usize),
}

/// Decides by the request's first line.
pub type Judge = dyn FnMut(&str) -> Harm + Send;

/// A TCP proxy in front of a registry. Each connection carries one request: it asks the registry to close.
pub struct Proxy {
    pub port: u16,
    pub requests: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    pub fn before(target: u16, judge: impl FnMut(&str) -> Harm + Send + 'static) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&requests);
        let judge: Arc<Mutex<Box<Judge>>> = Arc::new(Mutex::new(Box::new(judge)));
        // The thread ends with the test's process.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (seen, judge) = (Arc::clone(&seen), Arc::clone(&judge));
                std::thread::spawn(move || drop(carry(client, target, &seen, &judge)));
            }
        });
        Proxy { port, requests }
    }

    /// How many requests had a line that contains this.
    pub fn count(&self, text: &str) -> usize {
        self.requests.lock().unwrap().iter().filter(|r| r.contains(text)).count()
    }
}

fn carry(
    mut client: TcpStream,
    target: u16,
    seen: &Mutex<Vec<String>>,
    judge: &Mutex<Box<Judge>>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0u8; 1];
    while !head.ends_with(b"\r\n\r\n") {
        if client.read(&mut byte)? == 0 {
            return Ok(());
        }
        head.push(byte[0]);
        // A TLS handshake: only plain HTTP is spoken here.
        if head[0] == 0x16 {
            return Ok(());
        }
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let line = text.lines().next().unwrap_or_default().to_owned();
    let range = text.lines().find(|l| l.to_ascii_lowercase().starts_with("range:")).unwrap_or_default();
    let shown = format!("{line} {range}").trim().to_owned();
    let harm = judge.lock().unwrap()(&shown);
    seen.lock().unwrap().push(shown);
    let mut server = TcpStream::connect(("127.0.0.1", target))?;
    server.write_all(text.replacen("\r\n", "\r\nConnection: close\r\n", 1).as_bytes())?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    let body = answer.windows(4).position(|w| w == b"\r\n\r\n").map_or(0, |at| at + 4);
    match harm {
        Harm::CutAfter(n) => answer.truncate(body + n),
        Harm::FlipAt(n) if body + n < answer.len() => answer[body + n] ^= 1,
        _ => {}
    }
    client.write_all(&answer)?;
    client.shutdown(Shutdown::Both)
}
