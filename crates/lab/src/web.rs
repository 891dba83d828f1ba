//! A web server: the real nginx, with files that a test chooses.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;

use crate::{LabError, Namespace, Process, until};

/// nginx on port 80 of a namespace and on [`WebServer::SECOND_PORT`], v4 and v6. Files are put into [`WebServer::root`].
#[derive(Debug)]
pub struct WebServer {
    nginx: Process,
    root: PathBuf,
}

impl WebServer {
    /// Where the same files are served besides.
    pub const SECOND_PORT: u16 = 8080;

    /// Starts it; `directory` receives its files, its log and its process id.
    pub fn start(namespace: &Namespace, directory: &Path) -> Result<Self, LabError> {
        let root = directory.join("www");
        fs::create_dir_all(&root).map_err(LabError::io(root.display().to_string()))?;
        let (place, second) = (directory.display(), Self::SECOND_PORT);
        let configuration = directory.join("nginx.conf");
        let text = format!(
            "daemon off; master_process off; worker_processes 1; pid {place}/nginx.pid;\n\
             error_log {place}/nginx-error.log;\n\
             events {{ worker_connections 64; }}\n\
             http {{\n  access_log off; sendfile on; default_type application/octet-stream;\n\
             \x20 client_body_temp_path {place}/body; proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/fastcgi;\n\
             \x20 uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;\n\
             \x20 server {{ listen 80; listen [::]:80; listen {second}; listen [::]:{second}; root {place}/www; }}\n}}\n"
        );
        fs::write(&configuration, text).map_err(LabError::io(configuration.display().to_string()))?;
        let mut command = namespace.command("nginx");
        command.arg("-e").arg(directory.join("nginx-error.log")).arg("-c").arg(&configuration);
        let mut nginx = Process::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()))?;
        until("nginx on port 80", Duration::from_secs(10), || {
            if let Some(status) = nginx.status()? {
                let log = fs::read_to_string(directory.join("nginx-error.log")).unwrap_or_default();
                return Err(LabError::Command { command: "nginx".into(), status, stderr: log });
            }
            let connected = namespace.enter(|| std::net::TcpStream::connect(("127.0.0.1", 80)).is_ok())?;
            Ok(connected.then_some(()))
        })?;
        Ok(WebServer { nginx, root })
    }

    /// Where the files are that it serves.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Ends it in an orderly way.
    pub fn stop(mut self) -> Result<(), LabError> {
        self.nginx.signal(Signal::QUIT)?;
        self.nginx.wait(Duration::from_secs(5)).map(drop)
    }
}
