//! Credentials: helper programs, and tokens from a token server that a real registry verifies.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use hoist_image::{Auth, Error, Options, PullOptions, PushOptions};
use support::*;

/// Runs a test of this file again in a process of its own, with `PATH` beginning with `dir`: helpers are found there.
fn again_with_path(test: &str, dir: &Path) {
    let path = format!("{}:{}", dir.display(), std::env::var("PATH").unwrap());
    let exe = std::env::current_exe().unwrap();
    let mut command = std::process::Command::new(exe);
    let output = command.args(["--exact", test]).env("PATH", path).env("HELPER_DIR", dir).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

const HELPER: &str = r#"#!/bin/sh
read -r server
case $server in
    good.example) echo '{"Username":"u","Secret":"s"}';;
    https://index.docker.io/v1/) echo '{"Username":"<token>","Secret":"t"}';;
    bad.example) echo 'the keychain is locked'; exit 1;;
    *) echo 'credentials not found in native keychain'; exit 1;;
esac
"#;

#[tokio::test]
async fn helper_programs_give_credentials() {
    let Some(dir) = std::env::var_os("HELPER_DIR") else {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("docker-credential-test");
        fs_err::write(&program, HELPER).unwrap();
        fs_err::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let config = r#"{"credsStore":"test","auths":{"file.example":{"auth":"YTpi"}}}"#;
        fs_err::write(dir.path().join("config.json"), config).unwrap();
        return again_with_path("helper_programs_give_credentials", dir.path());
    };
    let file = Path::new(&dir).join("config.json");
    let ask = |domain: &'static str| Auth::from_docker_config(&file, domain);
    let good = ask("good.example").await.unwrap().unwrap();
    assert_eq!((good.username.as_str(), good.password.as_str()), ("u", "s"));
    assert_eq!(ask("docker.io").await.unwrap().unwrap().identity_token.as_deref(), Some("t"));
    assert_eq!(ask("file.example").await.unwrap().unwrap().password, "b");
    assert_eq!(ask("other.example").await.unwrap(), None);
    assert!(ask("bad.example").await.unwrap_err().to_string().contains("the keychain is locked"));
}

/// The scope that a request asks for: repository and actions.
fn scope_of(request: &str) -> (String, Vec<String>) {
    let text = request.split("repository%3A").nth(1).unwrap_or_default();
    let text = text.split(['&', ' ', '\r']).next().unwrap_or_default().replace("%2F", "/").replace("%2C", ",");
    let (name, actions) = text.split_once("%3A").unwrap_or(("", ""));
    (name.to_owned(), actions.split(',').map(str::to_owned).collect())
}

/// A token server for `me` with the password `secret`: it signs what distribution's registry verifies (RS256, with the
/// certificate in `x5c`). Everyone may pull what begins with `public`.
fn token_server(dir: PathBuf, listener: TcpListener) -> Arc<Mutex<Vec<String>>> {
    let requests: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&requests);
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let request = read_request(&mut client);
            let lower = request.to_ascii_lowercase();
            seen.lock().unwrap().push(request.clone());
            let good = request.contains("Basic bWU6c2VjcmV0") || request.contains("refresh_token=idtoken");
            let (status, body) = if !good && lower.contains("authorization: basic") {
                ("401 Unauthorized", r#"{"details":"incorrect username or password"}"#.to_owned())
            } else {
                let (name, mut actions) = scope_of(&request);
                if !(good || name.starts_with("public") && actions == ["pull"]) {
                    actions.clear();
                }
                ("200 OK", serde_json::json!({"token": token(&dir, &name, &actions), "expires_in": 300}).to_string())
            };
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close"
            );
            let _ = write!(client, "{head}\r\n\r\n{body}");
        }
    });
    requests
}

fn read_request(client: &mut std::net::TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0u8; 4096];
    loop {
        let n = client.read(&mut buffer).unwrap_or(0);
        bytes.extend_from_slice(&buffer[..n]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let wanted = text
            .to_ascii_lowercase()
            .split("content-length: ")
            .nth(1)
            .and_then(|t| t.split('\r').next()?.parse().ok())
            .unwrap_or(0usize);
        let whole = text.split_once("\r\n\r\n").is_some_and(|(_, body)| body.len() >= wanted);
        if n == 0 || whole {
            return text;
        }
    }
}

fn token(dir: &Path, name: &str, actions: &[String]) -> String {
    let b64 = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    let pem = fs_err::read_to_string(dir.join("server.crt")).unwrap();
    let certificate: String = pem.lines().filter(|l| !l.starts_with('-')).collect();
    let now = jiff::Timestamp::now().as_second();
    let header = serde_json::json!({"typ": "JWT", "alg": "RS256", "x5c": [certificate]});
    let claims = serde_json::json!({
        "iss": "tests", "sub": "me", "aud": "reg", "exp": now + 600, "nbf": now - 60, "iat": now, "jti": "1",
        "access": [{"type": "repository", "name": name, "actions": actions}],
    });
    let signed = format!("{}.{}", b64(header.to_string().as_bytes()), b64(claims.to_string().as_bytes()));
    fs_err::write(dir.join("to-sign"), &signed).unwrap();
    sh("openssl dgst -sha256 -sign server.key -out signature to-sign", dir);
    format!("{signed}.{}", b64(&fs_err::read(dir.join("signature")).unwrap()))
}

#[tokio::test(flavor = "multi_thread")]
async fn bearer_tokens_from_a_token_server() {
    let keys = tempfile::tempdir().unwrap();
    sh(CERTIFICATES, keys.path());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let realm = format!("http://{}/token", listener.local_addr().unwrap());
    let requests = token_server(keys.path().to_owned(), listener);
    let bundle = keys.path().join("ca.crt");
    let config = format!(
        "auth:\n  token: {{realm: \"{realm}\", service: reg, issuer: tests, rootcertbundle: {}}}\n",
        bundle.display()
    );
    let registry = Registry::with(Wishes { config, ..Default::default() });
    let me = Auth { username: "me".into(), password: "secret".into(), ..Default::default() };
    for name in ["public/app:1", "private/app:1"] {
        let push = PushOptions { auth: Some(me.clone()), ..PushOptions::default() };
        publish_with(&registry.name(name), &[("f", b"1")], push, Options::default()).await;
    }
    let store = Store::new().await;
    let pull = |name: &str, auth: Option<Auth>| {
        let (images, name) = (store.images.clone(), registry.name(name));
        async move { images.pull(&name, PullOptions { auth, ..Default::default() }, Arc::new(())).await }
    };
    pull("public/app:1", None).await.unwrap();
    let anonymous = pull("private/app:1", None).await.unwrap_err();
    assert!(matches!(anonymous, Error::NotAtRegistry { .. } | Error::Unauthorized { .. }), "{anonymous:?}");
    let wrong = pull("private/app:1", Some(Auth { password: "no".into(), ..me.clone() })).await.unwrap_err();
    let refused = matches!(&wrong, Error::Unauthorized { message, .. } if message == "incorrect username or password");
    assert!(refused, "{wrong:?}");
    pull("private/app:1", Some(me)).await.unwrap();
    let identity = Auth { identity_token: Some("idtoken".into()), ..Default::default() };
    pull("private/app:1", Some(identity)).await.unwrap();
    let requests = requests.lock().unwrap();
    assert!(requests.iter().any(|r| r.starts_with("POST /token") && r.contains("grant_type=refresh_token")));
    let get =
        requests.iter().any(|r| r.starts_with("GET /token?") && r.contains("service=reg") && r.contains("account=me"));
    assert!(get, "{requests:#?}");
}
