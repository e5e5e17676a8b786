//! nginx: files with `sendfile`, event streams by Nchan.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use super::{Each, Process, Server, process};
use crate::Result;
use crate::peers::wire::appender::Appender;
use crate::peers::wire::http::{self, Client};
use crate::peers::wire::payload::{self, LENGTH};

/// Serves the folder `www` of its folder, and events on `/pub/…` and `/sub/…`.
pub(super) struct Nginx(Process);

impl Nginx {
    pub(super) fn start(program: &Path, place: &Path) -> Result<Self> {
        let (folder, port) = (tempfile::tempdir_in(place)?, process::free_port()?);
        let at = folder.path().to_owned();
        fs::create_dir(at.join("www"))?;
        let module = ["/usr/lib/nginx/modules/ngx_nchan_module.so", "/usr/share/nginx/modules/ngx_nchan_module.so"];
        let module = module.into_iter().find(|path| Path::new(path).exists());
        let file = at.join("nginx.conf");
        fs::write(&file, configuration(&at.to_string_lossy(), port, module))?;
        let mut command = Command::new(program);
        command.arg("-c").arg(&file).arg("-p").arg(&at).arg("-e").arg(at.join("error.log"));
        let process = Process::start(command, port, folder)?;
        Ok(Self(process))
    }
}

fn configuration(at: &str, port: u16, nchan: Option<&str>) -> String {
    let load = nchan.map_or_else(String::new, |module| format!("load_module {module};\n"));
    // workers leave the rights of root, and could not read a private folder then
    let user = if rustix::process::getuid().is_root() { "user root;\n" } else { "" };
    let (memory, events) = if nchan.is_some() {
        (
            "  nchan_shared_memory_size 1024m;\n",
            "    location ~ ^/pub/(.+)$ { nchan_publisher; nchan_channel_id $1; nchan_message_buffer_length 1000000; nchan_message_timeout 30m; }\n    \
             location ~ ^/sub/(.+)$ { nchan_subscriber eventsource; nchan_channel_id $1; nchan_subscriber_first_message oldest; }\n",
        )
    } else {
        ("", "")
    };
    format!(
        "{load}{user}daemon off;\nworker_processes auto;\nworker_rlimit_nofile 30000;\npid {at}/nginx.pid;\n\
         events {{ worker_connections 12000; }}\n\
         http {{\n  access_log off;\n  default_type application/octet-stream;\n  sendfile on;\n  tcp_nopush on;\n  \
         keepalive_requests 100000000;\n  open_file_cache max=1000 inactive=60s;\n{memory}  client_body_temp_path {at}/body;\n  \
         proxy_temp_path {at}/proxy;\n  fastcgi_temp_path {at}/fastcgi;\n  uwsgi_temp_path {at}/uwsgi;\n  scgi_temp_path {at}/scgi;\n  \
         server {{\n    listen 127.0.0.1:{port};\n    location / {{ root {at}/www; }}\n{events}  }}\n}}\n"
    )
}

impl Server for Nginx {
    fn process(&self) -> &Process {
        &self.0
    }

    fn process_mut(&mut self) -> &mut Process {
        &mut self.0
    }

    fn make_logs(&mut self, _: usize) -> Result<()> {
        let answer = Client::new(self.0.port())?.send("GET", "/pub/none", &[], b"")?;
        // without Nchan the path is a file that isn't there, with a page that says so
        if answer.header("content-type") == Some("text/html") {
            return Err("nginx has no Nchan: install libnginx-mod-nchan".into());
        }
        Ok(())
    }

    fn appender(&self, log: usize, writer: usize) -> Result<Appender> {
        let text = [("Content-Type", "application/json")];
        let before = http::request(self.0.port(), "POST", &format!("/pub/log-{log}"), &text, Some(LENGTH));
        Appender::new(http::connect(self.0.port())?, &before, writer as u64, b"", http::acknowledged)
    }

    fn follow(&self, log: usize) -> Result<Vec<u8>> {
        let events = [("Accept", "text/event-stream")];
        Ok(http::request(self.0.port(), "GET", &format!("/sub/log-{log}"), &events, None))
    }

    fn catch_up(&self, log: usize, each: &mut Each<'_>) -> Result<()> {
        let (status, _) = Client::new(self.0.port())?.get(&format!("/log-{log}"), &[], each)?;
        if status == 200 { Ok(()) } else { Err(format!("log {log} is no file: status {status}").into()) }
    }

    /// To a file, in lines as long as those that Folio sends.
    fn append_many(&self, log: usize, entries: &[&[u8]]) -> Result<()> {
        let path = self.0.folder().join("www").join(format!("log-{log}"));
        let mut file = fs::OpenOptions::new().create(true).append(true).open(path)?;
        let mut lines = Vec::new();
        for (place, entry) in entries.iter().enumerate() {
            let seq = payload::read(entry).ok_or("no payload")?.n + 1;
            let unit = match entries.len() - 1 - place {
                0 => format!("\"n\":{}", entries.len()),
                more => format!("\"more\":{more}"),
            };
            let head = format!("{{\"seq\":{seq},\"ts\":1763900000000,{unit},\"crc\":\"00000000\",\"data\":");
            lines.extend(head.into_bytes());
            lines.extend_from_slice(entry);
            lines.extend_from_slice(b"}\n");
        }
        Ok(file.write_all(&lines)?)
    }

    fn put_file(&self, name: &str, bytes: &[u8]) -> Result<()> {
        Ok(fs::write(self.0.folder().join("www").join(name), bytes)?)
    }
}
