//! A stream of JSON values, one after the other.

use bytes::BytesMut;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;

use super::ClientError;

/// Reads JSON values off a body as they arrive; between them may be white space or nothing.
#[derive(Debug)]
pub struct JsonLines {
    body: Incoming,
    buffer: BytesMut,
    what: String,
}

impl JsonLines {
    pub(super) fn new(body: Incoming, what: String) -> Self {
        Self { body, buffer: BytesMut::new(), what }
    }

    /// The next value; `None` at the end of the stream.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ClientError> {
        loop {
            if let Some(value) = self.take()? {
                return Ok(Some(value));
            }
            match self.body.frame().await {
                Some(frame) => {
                    if let Ok(data) = frame.map_err(ClientError::Broken)?.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                None if self.buffer.iter().all(u8::is_ascii_whitespace) => return Ok(None),
                None => return Err(ClientError::Closed),
            }
        }
    }

    fn take<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ClientError> {
        let mut values = serde_json::Deserializer::from_slice(&self.buffer).into_iter();
        let value = match values.next() {
            None => return Ok(None),
            Some(Ok(value)) => value,
            Some(Err(err)) if err.is_eof() => return Ok(None),
            Some(Err(source)) => return Err(ClientError::Answer { what: self.what.clone(), source }),
        };
        let read = values.byte_offset();
        let _ = self.buffer.split_to(read);
        Ok(Some(value))
    }
}
