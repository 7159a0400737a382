//! Upstream of all proxies: an nginx that responds at once, on the core of the load.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use gatepost_test_support::free_port;

use crate::machine::Core;
use crate::process::Process;

/// Paths and sizes in bytes of the response bodies.
pub(crate) const BODIES: [(&str, usize); 3] = [("/1k", 1 << 10), ("/100k", 100 << 10), ("/10m", 10 << 20)];

#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    _process: Process,
}

impl Upstream {
    /// Starts an upstream with its files in a directory.
    pub(crate) fn start(directory: &Path) -> anyhow::Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let home = directory.join("upstream");
        fs::create_dir_all(home.join("www"))?;
        for (path, length) in BODIES {
            fs::write(home.join("www").join(&path[1..]), vec![b'x'; length])?;
        }
        fs::write(home.join("nginx.conf"), nginx_conf(address, &home))?;
        let mut command = Core::Load.command("nginx");
        command.arg("-e").arg(home.join("error.log")).arg("-p").arg(&home).arg("-c").arg(home.join("nginx.conf"));
        let mut process = Process::start(command, &home, "nginx")?;
        process.await_listening(address)?;
        Ok(Self { address, _process: process })
    }
}

fn nginx_conf(address: SocketAddr, home: &Path) -> String {
    let user = crate::peers::nginx_user();
    let root = home.join("www");
    let root = root.display();
    format!(
        "{user}daemon off; worker_processes 1; pid nginx.pid;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; client_max_body_size 0; sendfile on;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
  server {{
    listen {address} backlog=4096;
    location / {{ return 200 'the quick brown fox jumps over the lazy dog, and answers at once\\n'; }}
    location = /1k {{ root {root}; error_page 405 =200 $uri; }}
    location = /100k {{ root {root}; error_page 405 =200 $uri; }}
    location = /10m {{ root {root}; error_page 405 =200 $uri; }}
  }}
}}
"
    )
}
