//! nginx: plain, and with a cache of hashed keys in Lua.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;

use super::{CertificateFiles, KeyCheck, Peer, PeerConfig};
use crate::machine::Core;
use crate::process::{Process, find_program};

pub(super) const PLAIN: &str = "nginx plain";
pub(super) const LUA: &str = "nginx, Lua key cache";
const MODULES: &str = "/usr/share/nginx/modules";

/// Loads the SHA-256 of every key into a shared dictionary.
const LUA_INIT: &str = r#"
local ffi = require "ffi"
ffi.cdef[[unsigned char *SHA256(const unsigned char *d, size_t n, unsigned char *md);]]
local crypto, out = ffi.load("libcrypto.so.3"), ffi.new("unsigned char[32]")
function digest(key)
  crypto.SHA256(key, #key, out)
  return ffi.string(out, 32)
end
local number = 0
for key in io.lines(keys_file) do
  ngx.shared.keys:set(digest(key), "customer-" .. number)
  number = number + 1
end
"#;
const LUA_ACCESS: &str = r#"
local key = ngx.var.http_x_api_key
local customer = key and ngx.shared.keys:get(digest(key))
if not customer then return ngx.exit(401) end
ngx.req.clear_header("x-api-key")
ngx.req.set_header("x-customer", customer)
"#;

/// Keeps the worker processes of root running as root, so that they can read the files of the benchmarks.
pub(crate) fn user_directive() -> &'static str {
    if rustix::process::geteuid().is_root() { "user root; " } else { "" }
}

pub(super) fn plain(config: &PeerConfig<'_>) -> anyhow::Result<Peer> {
    start(config, "nginx", PLAIN, KeyCheck::Absent, &ExtraDirectives::default())
}

pub(super) fn lua(config: &PeerConfig<'_>) -> anyhow::Result<Peer> {
    let home = config.directory.join("nginx-lua");
    fs::create_dir_all(&home)?;
    let modules = ["ndk_http_module.so", "ngx_http_lua_module.so"].map(|name| Path::new(MODULES).join(name));
    anyhow::ensure!(modules.iter().all(|module| module.exists()), "libnginx-mod-http-lua is not installed");
    let keys = home.join("keys");
    fs::write(&keys, config.keys.join("\n"))?;
    fs::write(home.join("init.lua"), format!("local keys_file = \"{}\"\n{LUA_INIT}", keys.display()))?;
    fs::write(home.join("access.lua"), LUA_ACCESS)?;
    let extras = ExtraDirectives {
        main: modules.iter().map(|module| format!("load_module {};\n", module.display())).collect(),
        http: format!("lua_shared_dict keys 64m; init_by_lua_file {};", home.join("init.lua").display()),
        location: format!("access_by_lua_file {};", home.join("access.lua").display()),
    };
    start(config, "nginx-lua", LUA, KeyCheck::Required, &extras)
}

#[derive(Default)]
struct ExtraDirectives {
    main: String,
    http: String,
    location: String,
}

fn start(
    config: &PeerConfig<'_>,
    directory: &str,
    name: &'static str,
    key_check: KeyCheck,
    extras: &ExtraDirectives,
) -> anyhow::Result<Peer> {
    let address = config.free_address();
    let program = find_program("nginx").context("nginx is not installed")?;
    let home = config.directory.join(directory);
    fs::create_dir_all(&home)?;
    let conf = home.join("nginx.conf");
    fs::write(&conf, configuration(address, config, extras))?;
    let mut command = Core::Proxy.command(&program.display().to_string());
    command.arg("-e").arg(home.join("error.log")).arg("-p").arg(&home).arg("-c").arg(&conf);
    let mut process = Process::start(command, &home, "nginx")?;
    process.await_listening(address)?;
    Ok(Peer::new(name, key_check, address, process))
}

fn configuration(address: SocketAddr, config: &PeerConfig<'_>, extras: &ExtraDirectives) -> String {
    let (user, ExtraDirectives { main, http, location }) = (user_directive(), extras);
    let (upstream, tls) = (config.upstream, config.certificate.map(tls_directives).unwrap_or_default());
    let ssl = if tls.is_empty() { "" } else { " ssl" };
    format!(
        "{main}{user}daemon off; worker_processes 1; pid nginx.pid;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; client_max_body_size 0;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
  {http}
  upstream app {{ server {upstream}; keepalive 1024; keepalive_requests 1000000000; }}
  server {{
    listen {address}{ssl} backlog=4096;
    {tls}
    location / {{
      {location}
      proxy_request_buffering off; proxy_max_temp_file_size 0;
      proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ''; proxy_set_header Host $host;
    }}
  }}
}}
"
    )
}

fn tls_directives(files: &CertificateFiles) -> String {
    let (certificate, key) = (files.certificate.display(), files.key.display());
    format!("ssl_protocols TLSv1.3; ssl_certificate {certificate}; ssl_certificate_key {key};")
}
