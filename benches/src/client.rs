//! The smallest HTTP/1.1 client that can drive a gateway hard: one request at a time per connection.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What came back, whole.
pub(crate) struct Answer {
    pub(crate) status: u16,
}

pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

struct Head {
    status: u16,
    bytes: usize,
    /// `None`: chunked.
    length: Option<usize>,
}

fn head(buffer: &[u8]) -> Option<Head> {
    let bytes = memmem::find(buffer, b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&buffer[..bytes]).unwrap();
    let status = text[9..12].parse().unwrap();
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().unwrap())
    });
    Some(Head {
        status,
        bytes,
        length,
    })
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(16 * 1024),
        })
    }

    /// Sends a request and reads its answer; `seen` gets the body bytes as they come.
    pub(crate) async fn call(
        &mut self,
        request: &[u8],
        mut seen: impl FnMut(&[u8]),
    ) -> std::io::Result<Answer> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let head = loop {
            self.fill().await?;
            if let Some(head) = head(&self.buffer) {
                break head;
            }
        };
        let mut bytes = self.buffer.len() - head.bytes;
        let mut tail = [0_u8; 5];
        let mut body = self.buffer.split_off(head.bytes);
        loop {
            seen(&body);
            keep_tail(&mut tail, &body);
            match head.length {
                Some(length) if bytes >= length => break,
                None if &tail == b"0\r\n\r\n" => break,
                _ => {}
            }
            self.buffer.clear();
            self.fill().await?;
            bytes += self.buffer.len();
            std::mem::swap(&mut self.buffer, &mut body);
        }
        Ok(Answer {
            status: head.status,
        })
    }

    async fn fill(&mut self) -> std::io::Result<()> {
        if self.buffer.capacity() - self.buffer.len() < 4096 {
            self.buffer.reserve(16 * 1024);
        }
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

fn keep_tail(tail: &mut [u8; 5], bytes: &[u8]) {
    if bytes.len() >= 5 {
        tail.copy_from_slice(&bytes[bytes.len() - 5..]);
    } else {
        tail.rotate_left(bytes.len());
        tail[5 - bytes.len()..].copy_from_slice(bytes);
    }
}

/// The same on a blocking socket, for timing one call to the microsecond.
pub(crate) struct Blocking {
    stream: std::net::TcpStream,
    buffer: Vec<u8>,
}

impl Blocking {
    pub(crate) fn open(address: SocketAddr) -> Self {
        let stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            buffer: vec![0; 1 << 20],
        }
    }

    /// Status and body. Bodies need a length or the chunked end.
    pub(crate) fn call(&mut self, request: &[u8]) -> (u16, Vec<u8>) {
        self.stream.write_all(request).unwrap();
        let mut all = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[all..]).unwrap();
            assert!(read > 0, "the connection was closed");
            all += read;
            let Some(head) = head(&self.buffer[..all]) else {
                continue;
            };
            let body = &self.buffer[head.bytes..all];
            let whole = match head.length {
                Some(length) => body.len() >= length,
                None => body.ends_with(b"0\r\n\r\n"),
            };
            if whole {
                return (head.status, body.to_vec());
            }
            if all == self.buffer.len() {
                self.buffer.resize(all * 2, 0);
            }
        }
    }
}

/// Whether it answers at all, and `/readyz` is not against it.
pub(crate) fn is_ready(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = std::net::TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n")?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer)?;
        Ok(&answer[9..] != b"503")
    };
    ask().unwrap_or(false)
}
