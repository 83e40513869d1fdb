//! From a query to what is to be done with it: pure.

use std::net::IpAddr;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, PTR};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::directory::{Directory, Lookup};

/// Short, so that a client that keeps answers soon sees a container that has moved.
const TTL: u32 = 5;
const HEADER: usize = 12;

/// What a query calls for.
#[derive(Debug)]
pub(super) enum Action {
    Answer(Message),
    /// Ask another name server, with the same bytes. The message is the answer if none is to be had.
    Forward(Message),
    /// Not even the identifier could be read, or it is no query.
    Ignore,
}

pub(super) fn act(directory: &Directory, container: &str, query: &[u8]) -> Action {
    let message = match Message::from_vec(query) {
        Ok(message) => message,
        Err(_) if query.len() >= HEADER && query[2] & 0x80 == 0 => {
            let id = u16::from_be_bytes([query[0], query[1]]);
            return Action::Answer(Message::error_msg(id, OpCode::Query, ResponseCode::FormErr));
        }
        Err(_) => return Action::Ignore,
    };
    if message.metadata.message_type != MessageType::Query {
        return Action::Ignore;
    }
    let mut answer = response(&message);
    if message.metadata.op_code != OpCode::Query {
        answer.metadata.response_code = ResponseCode::NotImp;
        return Action::Answer(answer);
    }
    let [question] = message.queries.as_slice() else {
        answer.metadata.response_code = ResponseCode::FormErr;
        return Action::Answer(answer);
    };
    let name = question.name();
    if question.query_class() != DNSClass::IN {
        return Action::Forward(answer);
    }
    if question.query_type() == RecordType::PTR {
        let holder = reverse_address(name).and_then(|a| directory.reverse(container, a));
        return match holder.and_then(|h| Name::from_ascii(h + ".").ok()) {
            Some(holder) => {
                answer.metadata.authoritative = true;
                answer.add_answer(Record::from_rdata(name.clone(), TTL, RData::PTR(PTR(holder))));
                Action::Answer(answer)
            }
            None => Action::Forward(answer),
        };
    }
    let text = name.to_ascii();
    let addresses =
        match directory.lookup(container, text.trim_end_matches('.'), question.query_type() == RecordType::AAAA) {
            Lookup::Unknown => return Action::Forward(answer),
            Lookup::Known(addresses) => addresses,
        };
    answer.metadata.authoritative = true;
    // Another type, or a family that the holder lacks: the name exists, but has no such data. "No such
    // name" would make clients give up on the type that it has.
    if matches!(question.query_type(), RecordType::A | RecordType::AAAA) {
        answer.add_answers(addresses.into_iter().map(|a| Record::from_rdata(name.clone(), TTL, data(a))));
    }
    Action::Answer(answer)
}

/// The bytes to send, cut as the client's datagrams allow; a stream allows all.
pub(super) fn encode(answer: &Message, limit: Option<u16>) -> Option<Vec<u8>> {
    let bytes = answer.to_vec().ok()?;
    match limit {
        Some(limit) if bytes.len() > usize::from(limit) => answer.truncate().to_vec().ok(),
        _ => Some(bytes),
    }
}

/// How many bytes a datagram to the sender of this query may have.
pub(super) fn datagram_limit(query: &Message) -> u16 {
    query.max_payload()
}

fn response(query: &Message) -> Message {
    let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
    answer.metadata.recursion_desired = query.metadata.recursion_desired;
    answer.metadata.recursion_available = true;
    answer.add_queries(query.queries.iter().cloned());
    if let Some(asked) = &query.edns {
        let mut edns = Edns::new();
        edns.set_max_payload(asked.max_payload().max(512));
        answer.set_edns(edns);
    }
    answer
}

fn data(address: IpAddr) -> RData {
    match address {
        IpAddr::V4(a) => RData::A(A(a)),
        IpAddr::V6(a) => RData::AAAA(AAAA(a)),
    }
}

/// The address that a name below `in-addr.arpa` or `ip6.arpa` stands for, if it is a whole one.
fn reverse_address(name: &Name) -> Option<IpAddr> {
    let net = name.parse_arpa_name().ok()?;
    (net.prefix_len() == net.max_prefix_len()).then(|| net.addr())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::DnsOptions;

    proptest::proptest! {
        #[test]
        fn no_query_is_too_strange(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            act(&Directory::new(DnsOptions::default()), "c", &bytes);
        }

        /// A header that asks for one answer, and a question that may be torn anywhere.
        #[test]
        fn no_question_is_too_strange(question in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let query = [&[1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], &question].concat();
            match act(&Directory::new(DnsOptions::default()), "c", &query) {
                Action::Answer(message) | Action::Forward(message) => {
                    let bytes = encode(&message, Some(512)).expect("every answer can be written");
                    assert_eq!(bytes[..2], [1, 2]);
                    assert!(bytes.len() <= 512 || bytes[2] & 0x02 != 0);
                }
                Action::Ignore => {}
            }
        }
    }
}
