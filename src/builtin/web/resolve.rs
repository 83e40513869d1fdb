//! Names to addresses with nothing but the files of `/etc` and one UDP exchange (RFC 1035).

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};

const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;

/// The addresses of `host`: itself when it is an address, else those of `/etc/hosts`, else what the name server says.
pub fn lookup(host: &str) -> Result<Vec<IpAddr>, String> {
    if let Ok(address) = host.trim_matches(['[', ']']).parse() {
        return Ok(vec![address]);
    }
    let hosts = fs::read_to_string("/etc/hosts").unwrap_or_default();
    let known = in_hosts(&hosts, host);
    if !known.is_empty() {
        return Ok(known);
    }
    let resolv = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let mut reason = "no name server in /etc/resolv.conf".to_owned();
    for server in servers(&resolv) {
        match ask(server, host, TYPE_A).and_then(|mut found| {
            if found.is_empty() {
                found = ask(server, host, TYPE_AAAA)?;
            }
            Ok(found)
        }) {
            Ok(found) if !found.is_empty() => return Ok(found),
            Ok(_) => reason = format!("{server} knows no address of it"),
            Err(error) => reason = format!("{server}: {error}"),
        }
    }
    Err(format!("cannot resolve {host:?}: {reason}"))
}

fn in_hosts(hosts: &str, host: &str) -> Vec<IpAddr> {
    hosts
        .lines()
        .filter_map(|line| {
            let mut words = line.split('#').next()?.split_whitespace();
            let address = words.next()?.parse().ok()?;
            words.any(|name| name.eq_ignore_ascii_case(host)).then_some(address)
        })
        .collect()
}

fn servers(resolv: &str) -> Vec<IpAddr> {
    resolv
        .lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"))
        .filter_map(|rest| rest.trim().parse().ok())
        .collect()
}

fn ask(server: IpAddr, host: &str, kind: u16) -> Result<Vec<IpAddr>, String> {
    let query = question(host, kind)?;
    let local: SocketAddr = match server {
        IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let text = |error: std::io::Error| error.to_string();
    let socket = UdpSocket::bind(local).map_err(text)?;
    socket.connect((server, 53)).map_err(text)?;
    socket.set_read_timeout(Some(Duration::from_secs(2))).map_err(text)?;
    socket.send(&query).map_err(text)?;
    let mut answer = [0; 1500];
    let length = socket.recv(&mut answer).map_err(text)?;
    Ok(addresses(&answer[..length], kind).unwrap_or_default())
}

fn question(host: &str, kind: u16) -> Result<Vec<u8>, String> {
    let mut query = vec![0x48, 0x69, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in host.trim_end_matches('.').split('.') {
        let length = u8::try_from(label.len()).ok().filter(|n| (1..64).contains(n));
        query.push(length.ok_or_else(|| format!("{host:?} is not a host name"))?);
        query.extend_from_slice(label.as_bytes());
    }
    query.push(0);
    query.extend_from_slice(&kind.to_be_bytes());
    query.extend_from_slice(&[0, 1]);
    Ok(query)
}

/// The addresses in an answer; `None` when it is cut short or is no answer.
fn addresses(answer: &[u8], kind: u16) -> Option<Vec<IpAddr>> {
    let word = |at: usize| Some(u16::from_be_bytes([*answer.get(at)?, *answer.get(at + 1)?]));
    let skip_name = |mut at: usize| {
        loop {
            match *answer.get(at)? {
                0 => return Some(at + 1),
                length if length & 0xc0 == 0xc0 => return Some(at + 2),
                length => at += usize::from(length) + 1,
            }
        }
    };
    let mut at = 12;
    for _ in 0..word(4)? {
        at = skip_name(at)? + 4;
    }
    let mut found = Vec::new();
    for _ in 0..word(6)? {
        at = skip_name(at)?;
        let (this, length) = (word(at)?, usize::from(word(at + 8)?));
        let data = answer.get(at + 10..at + 10 + length)?;
        if this == kind {
            if let Ok(four) = <[u8; 4]>::try_from(data) {
                found.push(IpAddr::from(four));
            } else if let Ok(sixteen) = <[u8; 16]>::try_from(data) {
                found.push(IpAddr::from(sixteen));
            }
        }
        at += 10 + length;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_file_names_and_comments() {
        let hosts = "127.0.0.1 localhost # loop\n10.0.0.2 store Store.example\n# 10.0.0.3 store\n";
        assert_eq!(in_hosts(hosts, "store"), [IpAddr::from([10, 0, 0, 2])]);
        assert!(in_hosts(hosts, "loop").is_empty());
    }

    #[test]
    fn an_answer_with_a_compressed_name() {
        let mut answer = question("store", TYPE_A).unwrap();
        answer[7] = 1;
        answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 10, 0, 0, 9]);
        assert_eq!(addresses(&answer, TYPE_A), Some(vec![IpAddr::from([10, 0, 0, 9])]));
        for cut in 0..answer.len() {
            assert_eq!(addresses(&answer[..cut], TYPE_A).unwrap_or_default(), [] as [IpAddr; 0]);
        }
    }

    #[test]
    fn labels_have_their_limits() {
        assert!(question("a..b", TYPE_A).is_err());
        assert!(question(&"x".repeat(64), TYPE_A).is_err());
    }
}
