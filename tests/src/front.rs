//! An nginx that speaks HTTPS for one host name and passes everything on: what stands between visitors and a cache that
//! speaks plain HTTP.
//!
//! Invariant: whoever asks for another name hears nothing, so an answer proves that the name was said in the handshake.

use std::{
    fs::{self, Permissions},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::Command,
    time::Duration,
};

use anyhow::Result;
use tempfile::TempDir;

use crate::{pki::Credentials, ports, process::Process, wait};

/// How long it may take to listen.
const START: Duration = Duration::from_mins(1);

/// A running one. Dropping it ends it.
#[derive(Debug)]
pub struct Front {
    address: SocketAddr,
    log: PathBuf,
    _process: Process,
    _folder: TempDir,
}

impl Front {
    /// Starts it on a free port of 127.0.0.1 and waits until it listens.
    pub async fn start(host: &str, shown: &Credentials, behind: SocketAddr) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("federation-front-")
            .tempdir()?;
        // Its workers give up root's rights.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
        let path = |name: &str| folder.path().join(name);
        fs::write(path("front.pem"), &shown.certificate)?;
        fs::write(path("front.key"), &shown.key)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()?));
        let text = configuration(host, address, behind);
        let text = text.replace("FOLDER", &folder.path().to_string_lossy());
        fs::write(path("nginx.conf"), text)?;
        let mut command = Command::new("nginx");
        command
            .args(["-e", "stderr", "-p", "/usr/lib/nginx", "-c"])
            .arg(path("nginx.conf"));
        let process = Process::start("front", folder.path(), command)?;
        wait::until(START, "nginx listens", async || {
            TcpStream::connect(address).is_ok()
        })
        .await?;
        Ok(Self {
            address,
            log: path("access.log"),
            _process: process,
            _folder: folder,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests that it took.
    pub fn hits(&self) -> Result<usize> {
        Ok(fs::read_to_string(&self.log)?.lines().count())
    }
}

/// Where what is behind says nothing of a cache, there is none.
fn configuration(host: &str, address: SocketAddr, behind: SocketAddr) -> String {
    format!(
        r#"daemon off;
pid FOLDER/nginx.pid;
error_log stderr warn;
worker_processes 1;
events {{ worker_connections 64; }}
http {{
    access_log FOLDER/access.log;
    client_body_temp_path FOLDER/body;
    proxy_temp_path FOLDER/proxy;
    fastcgi_temp_path FOLDER/fastcgi;
    scgi_temp_path FOLDER/scgi;
    uwsgi_temp_path FOLDER/uwsgi;
    map $upstream_http_x_cache $said {{ "" MISS; default ""; }}
    server {{
        listen {address} ssl http2 default_server;
        ssl_reject_handshake on;
    }}
    server {{
        listen {address} ssl http2;
        server_name {host};
        ssl_certificate FOLDER/front.pem;
        ssl_certificate_key FOLDER/front.key;
        location / {{
            proxy_pass http://{behind};
            proxy_set_header Host $host;
            add_header X-Cache $said always;
        }}
    }}
}}
"#
    )
}
