//! Command lines and the bodies that they become.

use clap::Parser;
use serde_json::{Value, json};

use super::{Surroundings, container};
use crate::{
    api::dto::config::Config,
    cli::args::{Cli, Command, create::CreateFlags},
};

fn flags(line: &str) -> CreateFlags {
    match Cli::try_parse_from(line.split_whitespace()).unwrap().command {
        Command::Run(args) => args.create,
        Command::Create(args) => args.create,
        other => panic!("{other:?}"),
    }
}

/// What a command line changes of an empty body.
fn body(line: &str) -> Value {
    let around = Surroundings::of(&[("HOME", "/root"), ("EMPTY", "")], "/work");
    let made = serde_json::to_value(container(&flags(line), &around).unwrap()).unwrap();
    let plain = Config { host_config: Some(Box::default()), ..Config::default() };
    difference(&serde_json::to_value(plain).unwrap(), &made)
}

fn difference(before: &Value, after: &Value) -> Value {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => after
            .iter()
            .filter(|(key, value)| before.get(*key) != Some(value))
            .map(|(key, value)| (key.clone(), difference(before.get(key).unwrap_or(&Value::Null), value)))
            .collect(),
        _ => after.clone(),
    }
}

fn error(line: &str) -> String {
    container(&flags(line), &Surroundings::of(&[], "/work")).unwrap_err().to_string()
}

#[test]
fn a_plain_run() {
    assert_eq!(
        body("hoist run --rm busybox echo --rm -it"),
        json!({"AttachStdout": true, "AttachStderr": true, "Cmd": ["echo", "--rm", "-it"], "Image": "busybox",
               "HostConfig": {"AutoRemove": true}})
    );
}

#[test]
fn process() {
    assert_eq!(
        body(
            "hoist run -it -e A=1 -e HOME -e NOT_SET -e A=2 -u 1000:10 -w /srv --entrypoint /bin/sh --init -l a=b -l c x"
        ),
        json!({"AttachStdin": true, "AttachStdout": true, "AttachStderr": true, "Tty": true, "OpenStdin": true,
               "StdinOnce": true, "Env": ["A=2", "HOME=/root"], "Image": "x", "User": "1000:10", "WorkingDir": "/srv",
               "Entrypoint": ["/bin/sh"], "Labels": {"a": "b", "c": ""}, "HostConfig": {"Init": true}})
    );
}

#[test]
fn ports() {
    let made = body(
        "hoist run -p 80 -p 8080:80/udp -p 127.0.0.1::443 -p [::1]:9000-9001:90-91 -p 7000-7010:70 --expose 5-6 x",
    );
    assert_eq!(
        made["HostConfig"]["PortBindings"],
        json!({"443/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}],
               "70/tcp": [{"HostIp": "", "HostPort": "7000-7010"}],
               "80/tcp": [{"HostIp": "", "HostPort": ""}],
               "80/udp": [{"HostIp": "", "HostPort": "8080"}],
               "90/tcp": [{"HostIp": "::1", "HostPort": "9000"}],
               "91/tcp": [{"HostIp": "::1", "HostPort": "9001"}]})
    );
    assert_eq!(made["ExposedPorts"].as_object().unwrap().len(), 8);
    assert_eq!(error("hoist run -p x:80 x"), r#"invalid value "x:80" for --publish: "x" is not a port"#);
    assert_eq!(
        error("hoist run -p 1-3:80-81 x"),
        r#"invalid value "1-3:80-81" for --publish: 3 ports of this machine for 2 of the container"#
    );
    assert_eq!(error("hoist run -p 0:80 x"), r#"invalid value "0:80" for --publish: "0" is not a port"#);
    assert_eq!(
        error("hoist run -p 80/icmp x"),
        r#"invalid value "80/icmp" for --publish: "icmp" is not tcp, udp or sctp"#
    );
}

#[test]
fn networks() {
    assert_eq!(
        body("hoist run --network front --network name=back,alias=db,ip=10.0.0.9 --network-alias web --ip 10.1.0.2 x")
            ["NetworkingConfig"]["EndpointsConfig"]["back"]["IPAMConfig"],
        json!({"IPv4Address": "10.0.0.9"})
    );
    let made = body("hoist run --network host x");
    assert_eq!(made["HostConfig"], json!({"NetworkMode": "host"}));
    assert!(made.get("NetworkingConfig").is_none());
    assert!(error("hoist run --network host --network a x").contains("one of several"));
    assert!(error("hoist run --network none --ip 10.0.0.1 x").contains("network of its own"));
    assert_eq!(
        body("hoist run --add-host a:10.0.0.1 --add-host b=[::1] --add-host c:host-gateway x")["HostConfig"]["ExtraHosts"],
        json!(["a:10.0.0.1", "b:::1", "c:host-gateway"])
    );
}

#[test]
fn storage() {
    let made = body("hoist run -v ./a:/a:ro -v data:/d -v /anon --tmpfs /t:size=1m --shm-size 1g x");
    assert_eq!(
        made["HostConfig"],
        json!({"Binds": ["/work/a:/a:ro", "data:/d"], "Tmpfs": {"/t": "size=1m"}, "ShmSize": 1_073_741_824})
    );
    assert_eq!(made["Volumes"], json!({"/anon": {}}));
    let made = body(
        "hoist run --mount type=bind,src=x,dst=/x,readonly,bind-propagation=rslave --mount type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1770 x",
    );
    assert_eq!(
        made["HostConfig"]["Mounts"],
        json!([{"Type": "bind", "Source": "/work/x", "Target": "/x", "ReadOnly": true, "BindOptions": {"Propagation": "rslave"}},
               {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1_048_576, "Mode": 1016}}])
    );
    for (line, want) in [
        ("-v a", "expected SOURCE:PATH"),
        ("-v a:b", "must be absolute"),
        ("-v a/b:/c", "starts with ./"),
        ("--mount type=bind,dst=/a", "needs src"),
        ("--mount type=volume,dst=/a,tmpfs-size=1m", "fields of type tmpfs"),
        ("--mount dst=/a,colour=red", "unknown field \"colour\""),
        ("--gpus model=h100", "is said as \"options=model=h100\""),
    ] {
        let error = error(&format!("hoist run {line} x"));
        assert!(error.contains(want), "{line}: {error}");
    }
}

#[test]
fn resources() {
    let made = body(
        "hoist run -m 64m --memory-swap -1 --cpus 1.5 --pids-limit 20 --ulimit nofile=10:20 --device /dev/null:/dev/x:r --gpus all --device-read-bps /dev/sda:1mb x",
    );
    assert_eq!(
        made["HostConfig"],
        json!({"Memory": 67_108_864, "NanoCpus": 1_500_000_000, "MemorySwap": -1, "PidsLimit": 20,
               "BlkioDeviceReadBps": [{"Path": "/dev/sda", "Rate": 1_048_576}],
               "Ulimits": [{"Name": "nofile", "Hard": 20, "Soft": 10}],
               "Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/x", "CgroupPermissions": "r"}],
               "DeviceRequests": [{"Driver": "", "Count": -1, "DeviceIDs": null, "Capabilities": [["gpu"]], "Options": {}}]})
    );
    assert!(error("hoist run -m lots x").contains("--memory"));
    assert!(error("hoist run --ulimit files=1 x").contains("\"files\" is not one of"));
}

#[test]
fn lifecycle() {
    let made = body(
        "hoist run --restart on-failure:3 --health-cmd true --health-interval 1m30s --log-driver json-file --log-opt max-size=1m --stop-signal INT --stop-timeout 3 x",
    );
    assert_eq!(made["Healthcheck"], json!({"Test": ["CMD-SHELL", "true"], "Interval": 90_000_000_000_i64}));
    assert_eq!(
        made["HostConfig"],
        json!({"LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}},
               "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}})
    );
    assert!(error("hoist run --rm --restart always x").contains("cannot be combined"));
    assert!(error("hoist run --restart always:3 x").contains("only on-failure"));
    assert!(error("hoist run --isolation hyperv x").contains("Windows only"));
    assert!(error("hoist run --no-healthcheck --health-cmd true x").contains("cannot be combined"));
}

#[test]
fn as_me() {
    use super::surroundings::Person;
    let person = Person { uid: 1001, gid: 100, groups: vec![27] };
    let made = |line: &str, home: &str, directory: &str| {
        let around = Surroundings::of(&[("HOME", home), ("USER", "ada")], directory).by(person.clone());
        container(&flags(line), &around).unwrap()
    };
    let config = made("hoist run --as-me --group-add 7 -v /data:/data x", "/home/ada", "/home/ada/work");
    assert_eq!((config.user.as_str(), config.working_dir.as_str()), ("1001:100", "/home/ada/work"));
    assert_eq!(config.env, ["HOME=/home/ada", "USER=ada"]);
    let host = config.host_config.unwrap();
    assert_eq!(host.group_add.unwrap(), ["7", "27"]);
    // The directory is in the home, which is there already.
    assert_eq!(host.binds.unwrap(), ["/data:/data", "/home/ada:/home/ada"]);

    let config = made("hoist run --as-me -w /srv -e HOME=/tmp x", "/home/ada", "/scratch");
    assert_eq!(
        (config.working_dir.as_str(), &config.env[..]),
        ("/srv", &["HOME=/tmp".to_owned(), "USER=ada".to_owned()][..])
    );
    assert_eq!(config.host_config.unwrap().binds.unwrap(), ["/home/ada:/home/ada", "/scratch:/scratch"]);

    let config = made("hoist run --as-me x", "/", "/");
    assert_eq!((config.host_config.unwrap().binds, config.working_dir.as_str()), (None, ""));
    let around = Surroundings::of(&[("HOME", "/a:b")], "/").by(person.clone());
    assert!(container(&flags("hoist run --as-me x"), &around).is_err());
    assert!(Cli::try_parse_from(["hoist", "run", "--as-me", "-u", "1", "x"]).is_err());
}
