//! Name service, as programs in containers see it.

#![allow(clippy::unwrap_used)]

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hoist_network::{AttachRequest, DnsConfig, NetworkSpec};
use support::{Inside, connect, machine, on};

const SERVER: &str = "127.0.0.11:53";

fn query(name: &str, kind: RecordType) -> Vec<u8> {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message.to_vec().unwrap()
}

fn show(reply: &[u8]) -> String {
    let message = Message::from_vec(reply).unwrap();
    let mut answers: Vec<String> = message.answers.iter().map(|r| r.data.to_string()).collect();
    answers.sort();
    let cut = if message.metadata.truncation { " (cut)" } else { "" };
    match message.metadata.response_code {
        ResponseCode::NoError => format!("[{}]{cut}", answers.join(" ")),
        code => format!("{code:?}"),
    }
}

fn udp(name: &str, kind: RecordType) -> String {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect(SERVER).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(6))).unwrap();
    socket.send(&query(name, kind)).unwrap();
    let mut reply = [0; 4096];
    match socket.recv(&mut reply) {
        Ok(length) => show(&reply[..length]),
        Err(error) => format!("{:?}", error.kind()),
    }
}

fn tcp(name: &str, kind: RecordType) -> String {
    let mut stream = TcpStream::connect(SERVER).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(6))).unwrap();
    let query = query(name, kind);
    stream.write_all(&(query.len() as u16).to_be_bytes()).unwrap();
    stream.write_all(&query).unwrap();
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut reply = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut reply).unwrap();
    show(&reply)
}

/// A name server of the calling thread's namespace: `big.example.` has more text than a datagram
/// holds, other names have one address.
fn name_server(address: &'static str) {
    let answer = |bytes: &[u8], whole: bool| {
        let query = Message::from_vec(bytes).unwrap();
        let mut reply = Message::response(query.metadata.id, query.metadata.op_code);
        let name = query.queries[0].name().clone();
        reply.add_queries(query.queries.iter().cloned());
        if name.to_ascii() == "big.example." {
            for n in 0..20 {
                let text = RData::TXT(TXT::new(vec![format!("{n:02}").repeat(50)]));
                reply.add_answer(Record::from_rdata(name.clone(), 9, text));
            }
            if !whole {
                reply = reply.truncate();
            }
        } else if name.to_ascii() == "missing.example." {
            reply.metadata.response_code = ResponseCode::NXDomain;
        } else {
            reply.add_answer(Record::from_rdata(name, 9, RData::A(A::new(192, 0, 2, 7))));
        }
        reply.to_vec().unwrap()
    };
    let socket = UdpSocket::bind(address).unwrap();
    let listener = TcpListener::bind(address).unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, client)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&answer(&buffer[..length], false), client);
        }
    });
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut query = vec![0; u16::from_be_bytes(length).into()];
            stream.read_exact(&mut query).unwrap();
            let reply = answer(&query, true);
            stream.write_all(&(reply.len() as u16).to_be_bytes()).unwrap();
            stream.write_all(&reply).unwrap();
        }
    });
}

#[test]
fn names_aliases_and_services_are_answered() {
    machine(async |machine| {
        let networks = machine.networks().await;
        networks.create(NetworkSpec { name: "app".into(), ..NetworkSpec::default() }).await.unwrap();
        let attach = async |container: &str, names: &[&str], aliases: &[&str]| {
            let mut request = AttachRequest { networks: vec![connect("app", names)], ..AttachRequest::default() };
            request.networks[0].aliases = aliases.iter().map(|a| (*a).to_owned()).collect();
            networks.attach(container, request).await.unwrap()
        };
        attach("1111", &["app-web-1"], &["web", "1111"]).await;
        attach("2222", &["app-web-2"], &["web"]).await;
        let asker = attach("3333", &["app-asker-1"], &[]).await;
        let inside = Inside::new(&asker.sandbox.path);
        let ask = |name: &'static str, kind| inside.run(move || (udp(name, kind), tcp(name, kind)));
        let both = |text: &str| (text.to_owned(), text.to_owned());

        assert_eq!(ask("app-web-1.", RecordType::A), both("[172.18.0.2]"));
        assert_eq!(ask("WEB.", RecordType::A), both("[172.18.0.2 172.18.0.3]"));
        assert_eq!(ask("1111.", RecordType::A), both("[172.18.0.2]"));
        assert_eq!(ask("web.app.", RecordType::A), both("[172.18.0.2 172.18.0.3]"));
        assert_eq!(ask("web.", RecordType::AAAA), both("[]"), "known, without such an address");
        assert_eq!(ask("web.", RecordType::TXT), both("[]"));
        assert_eq!(ask("2.0.18.172.in-addr.arpa.", RecordType::PTR), both("[app-web-1.app.]"));

        networks.set_healthy("1111", false).await.unwrap();
        assert_eq!(ask("web.", RecordType::A), both("[172.18.0.3]"));
        networks.rename("2222", "app-web-2", "renamed").await.unwrap();
        assert_eq!(ask("renamed.", RecordType::A), both("[172.18.0.3]"));
        networks.release("2222").await.unwrap();
        assert_eq!(ask("web.", RecordType::A), both("[172.18.0.2]"), "better an unhealthy one than none");
        // The port itself stays free for a name server of the container's own.
        inside.run(|| (UdpSocket::bind("0.0.0.0:53").unwrap(), TcpListener::bind("0.0.0.0:53").unwrap()));
    });
}

#[test]
fn the_next_daemon_answers_at_once_at_the_same_address() {
    machine(async |machine| {
        let networks = machine.networks().await;
        let asker = networks.attach("1111", on("bridge", "asker")).await.unwrap();
        networks.attach("2222", on("bridge", "web")).await.unwrap();
        networks.set_healthy("2222", false).await.unwrap();
        let inside = Inside::new(&asker.sandbox.path);
        assert_eq!(inside.run(|| udp("web.", RecordType::A)), "[172.17.0.3]");
        drop(networks);
        // The sockets go with the last task of the old daemon.
        while inside.run(|| TcpStream::connect(SERVER).is_ok()) {
            tokio::task::yield_now().await;
        }
        assert_eq!(inside.run(|| udp("web.", RecordType::A)), "ConnectionRefused", "at once, not after a wait");
        // Somebody in the container takes the port that the sockets had.
        let taken = inside.run(|| UdpSocket::bind("0.0.0.0:61053").unwrap());
        let networks = machine.networks().await;
        assert_eq!(inside.run(|| (udp("web.", RecordType::A), tcp("web.", RecordType::A))).0, "[172.17.0.3]");
        drop(taken);
        networks.attach("3333", on("bridge", "more")).await.unwrap();
        assert_eq!(inside.run(|| tcp("more.", RecordType::A)), "[172.17.0.4]");
    });
}

#[test]
fn the_rest_is_forwarded() {
    machine(async |machine| {
        name_server("127.0.0.1:53");
        let outside = Inside::neighbour("198.51.100.1/24", "198.51.100.2/24");
        outside.run(|| name_server("198.51.100.2:53"));
        let networks = machine.networks().await;
        networks.create(NetworkSpec { name: "back".into(), internal: true, ..NetworkSpec::default() }).await.unwrap();
        let plain = networks.attach("plain", on("bridge", "plain")).await.unwrap();
        let plain = Inside::new(&plain.sandbox.path);
        assert_eq!(plain.run(|| udp("www.example.", RecordType::A)), "[192.0.2.7]", "the host's, on its loopback");
        assert_eq!(plain.run(|| tcp("www.example.", RecordType::A)), "[192.0.2.7]");
        assert_eq!(plain.run(|| udp("missing.example.", RecordType::A)), "NXDomain");
        assert_eq!(plain.run(|| udp("big.example.", RecordType::TXT)), "[] (cut)");
        assert!(plain.run(|| tcp("big.example.", RecordType::TXT)).len() > 2000);

        let dns = |server: &str| DnsConfig { servers: vec![server.parse().unwrap()], ..DnsConfig::default() };
        let request = AttachRequest { dns: dns("198.51.100.2"), ..on("bridge", "own") };
        let own = Inside::new(&networks.attach("own", request).await.unwrap().sandbox.path);
        assert_eq!(own.run(|| udp("www.example.", RecordType::A)), "[192.0.2.7]", "a given one");
        networks.set_resolver("own", dns("127.0.0.1")).await.unwrap();
        assert_eq!(own.run(|| udp("www.example.", RecordType::A)), "ServFail", "nobody in the container");
        own.run(|| name_server("127.0.0.1:53"));
        assert_eq!(own.run(|| udp("www.example.", RecordType::A)), "[192.0.2.7]", "its own");

        let hidden = networks.attach("hidden", on("back", "hidden")).await.unwrap();
        let hidden = Inside::new(&hidden.sandbox.path);
        assert_eq!(hidden.run(|| udp("www.example.", RecordType::A)), "NXDomain", "nothing from an internal network");
        networks.connect("hidden", connect("bridge", &["hidden"])).await.unwrap();
        assert_eq!(hidden.run(|| udp("www.example.", RecordType::A)), "[192.0.2.7]");
        networks.disconnect("hidden", "bridge").await.unwrap();
        assert_eq!(hidden.run(|| udp("www.example.", RecordType::A)), "NXDomain");
    });
}

#[test]
fn nonsense_is_answered_as_such_or_not_at_all() {
    machine(async |machine| {
        let networks = machine.networks().await;
        let plain = networks.attach("plain", on("bridge", "plain")).await.unwrap();
        Inside::new(&plain.sandbox.path).run(|| {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            socket.connect(SERVER).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            let mut reply = [0; 512];
            socket.send(b"x").unwrap();
            socket.send(&[7, 7, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0xff]).unwrap();
            let length = socket.recv(&mut reply).unwrap();
            assert_eq!(show(&reply[..length]), "FormErr");
            assert_eq!(reply[..2], [7, 7]);
            // A response is no query: two servers must not keep each other busy.
            socket.send(&[8, 8, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap();
            socket.send(&query("plain.", RecordType::A)).unwrap();
            let length = socket.recv(&mut reply).unwrap();
            assert_eq!(show(&reply[..length]), "[172.17.0.2]");
        });
    });
}
