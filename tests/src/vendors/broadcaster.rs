//! Varnish Enterprise's broadcaster (docs.varnish-software.com/varnish-broadcaster): what it is told it tells every node of a
//! group of its `nodes.conf`, without the body and without its own headers, and answers with the status of each.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::{Map, Value, json};

use super::{Answer, Request, Vendor};

/// How long a node may take.
const NODE_TIMEOUT: Duration = Duration::from_secs(5);
/// What a node that cannot be reached counts as.
const NOT_REACHED: u16 = 503;

/// One broadcaster with one group.
#[derive(Debug)]
pub struct Broadcaster {
    /// The group's name.
    pub group: &'static str,
    /// Its nodes.
    pub nodes: Vec<(&'static str, SocketAddr)>,
}

impl Vendor for Broadcaster {
    fn answer(&mut self, request: &Request) -> Answer {
        let is_meant = request.header("x-broadcast-group") == self.group;
        let nodes = self.nodes.iter().filter(|_| is_meant);
        let said: Map<String, Value> = nodes
            .map(|(name, node)| {
                let status = relay(*node, request).unwrap_or(NOT_REACHED);
                ((*name).to_owned(), status.into())
            })
            .collect();
        let body = json!({
            "done": true,
            "method": request.method,
            "uri": request.path,
            "ts": 1_512_995_646,
            "rate": 100,
            "nodes": said,
        });
        (200, body.to_string())
    }

    fn busy(&self) -> Answer {
        (429, "Too many requests".to_owned())
    }
}

/// The node's status.
fn relay(node: SocketAddr, request: &Request) -> Option<u16> {
    let mut stream = TcpStream::connect_timeout(&node, NODE_TIMEOUT).ok()?;
    stream.set_read_timeout(Some(NODE_TIMEOUT)).ok()?;
    let mut head = format!("{} {} HTTP/1.1\r\n", request.method, request.path);
    for (name, value) in &request.headers {
        let is_own = name.as_str().starts_with("x-broadcast");
        if let (false, Ok(value)) = (is_own, value.to_str()) {
            head.extend([name.as_str(), ": ", value, "\r\n"]);
        }
    }
    head.push_str("connection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    line.split(' ').nth(1)?.parse().ok()
}
