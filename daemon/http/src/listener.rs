//! Listeners: TCP, TCP with TLS, a Unix socket.

use std::fmt;
use std::fs::{self, File, Metadata, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixSocket, UnixStream};
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use crate::pem::{self, PemError};

/// How many connections may wait in the kernel to be accepted.
const BACKLOG: u32 = 1024;

/// How often it is checked that the file of a Unix socket is still there.
const CHECK_FILE: Duration = Duration::from_secs(1);

/// The other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// A TCP client, or the last proxy in front of it.
    Tcp(SocketAddr),
    /// A process on this machine that may open the socket, of this user id where the system tells
    /// it.
    Unix(Option<u32>),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(None) => f.write_str("unix"),
            Self::Unix(Some(uid)) => write!(f, "unix uid {uid}"),
        }
    }
}

/// The certificate of a TLS listener.
#[derive(Clone)]
pub struct TlsIdentity {
    /// The server's certificate, then those that lead to a root.
    pub chain_pem: Vec<u8>,
    /// Its private key, unencrypted.
    pub key_pem: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsIdentity(..)")
    }
}

impl TlsIdentity {
    /// Checks that a listener can use the certificate and its key.
    ///
    /// # Errors
    /// As [`Listener::tls`].
    pub fn check(&self) -> Result<(), PemError> {
        self.config().map(drop)
    }

    fn config(&self) -> Result<ServerConfig, PemError> {
        let chain = pem::certificates(&self.chain_pem)?;
        let key = pem::private_key(&self.key_pem)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|_| PemError::Pair)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// Why a listener cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenerError {
    /// The address or path cannot be bound.
    #[error("cannot listen at {place}: {cause}")]
    Bind {
        /// The address or path.
        place: String,
        /// Why it cannot be bound.
        #[source]
        cause: io::Error,
    },
    /// Another process answers at this socket.
    #[error("cannot listen at {}: another process answers there already", .0.display())]
    InUse(PathBuf),
    /// The file at this path is no socket; it is left alone.
    #[error("cannot listen at {}: there is a file at that path that is no socket", .0.display())]
    NotASocket(PathBuf),
    /// The certificate or its key cannot be used.
    #[error("the TLS certificate or key cannot be used: {0}")]
    Identity(#[source] PemError),
}

/// A bound listener. Dropping it closes it, and removes the file of a Unix socket. While it
/// accepts, a Unix socket whose file was removed is made anew.
pub struct Listener(Kind);

enum Kind {
    Tcp { listener: TcpListener, address: SocketAddr, tls: Option<TlsAcceptor> },
    Unix { listener: UnixListener, file: SocketFile },
}

/// An accepted connection, before its TLS handshake.
pub(crate) enum Accepted {
    Tcp(TcpStream),
    Tls(TlsAcceptor, TcpStream),
    Unix(UnixStream),
}

impl Listener {
    /// Plain TCP. Port 0 binds a free one, which [`Listener::local_addr`] returns.
    ///
    /// # Errors
    /// `Bind`.
    pub async fn tcp(address: SocketAddr) -> Result<Self, ListenerError> {
        Self::bind(address, None).await
    }

    /// TCP with TLS 1.2 or 1.3.
    ///
    /// # Errors
    /// `Bind`, `Identity`.
    pub async fn tls(address: SocketAddr, identity: &TlsIdentity) -> Result<Self, ListenerError> {
        let config = identity.config().map_err(ListenerError::Identity)?;
        Self::bind(address, Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn bind(address: SocketAddr, tls: Option<TlsAcceptor>) -> Result<Self, ListenerError> {
        let bound = async {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            Ok(Self(Kind::Tcp { listener, address, tls }))
        };
        bound.await.map_err(|cause| ListenerError::Bind { place: address.to_string(), cause })
    }

    /// A Unix socket that only this user can open (mode 0600). The socket of a dead process is
    /// replaced.
    ///
    /// # Errors
    /// `InUse` where another process still answers, `NotASocket`, `Bind`.
    pub async fn unix(path: impl Into<PathBuf>) -> Result<Self, ListenerError> {
        let path = path.into();
        let failed = |cause| ListenerError::Bind { place: path.display().to_string(), cause };
        clear(&path).await?;
        let (listener, made) = bind_private(&path).map_err(failed)?;
        let file = SocketFile { device: made.dev(), inode: made.ino(), path };
        Ok(Self(Kind::Unix { listener, file }))
    }

    /// The TCP address that is bound, with its actual port.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match &self.0 {
            Kind::Tcp { address, .. } => Some(*address),
            Kind::Unix { .. } => None,
        }
    }

    pub(crate) async fn accept(&mut self) -> io::Result<(Accepted, Peer)> {
        match &mut self.0 {
            Kind::Tcp { listener, tls, .. } => {
                let (stream, address) = listener.accept().await?;
                // Answers are written whole; waiting to fill a packet would only delay them. The
                // first read detects a client that has already disconnected.
                let _ = stream.set_nodelay(true);
                let arrival = match tls {
                    Some(acceptor) => Accepted::Tls(acceptor.clone(), stream),
                    None => Accepted::Tcp(stream),
                };
                Ok((arrival, Peer::Tcp(address)))
            }
            Kind::Unix { listener, file } => {
                let (stream, _) = loop {
                    tokio::select! {
                        accepted = listener.accept() => break accepted?,
                        () = sleep(CHECK_FILE) => remake(listener, file)?,
                    }
                };
                let uid = stream.peer_cred().ok().map(|process| process.uid());
                Ok((Accepted::Unix(stream), Peer::Unix(uid)))
            }
        }
    }
}

/// Makes the socket anew where its file was removed: no client finds it otherwise. A file that has
/// taken its place is left alone.
fn remake(listener: &mut UnixListener, file: &mut SocketFile) -> io::Result<()> {
    match fs::symlink_metadata(&file.path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Ok(_) | Err(_) => return Ok(()),
    }
    let (again, made) = bind_private(&file.path)?;
    tracing::warn!(socket = %file.path.display(), "the file of a socket had been removed; the socket was made anew");
    *listener = again;
    (file.device, file.inode) = (made.dev(), made.ino());
    Ok(())
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Tcp { address, .. } => address.fmt(f),
            Kind::Unix { file, .. } => file.path.display().fmt(f),
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Listener({self})")
    }
}

/// Removes the socket of a dead process from `path`.
async fn clear(path: &Path) -> Result<(), ListenerError> {
    let failed = |cause| ListenerError::Bind { place: path.display().to_string(), cause };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(ListenerError::NotASocket(path.to_owned()));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path).await {
        // No process listens: the file outlived its own.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed)
        }
        // A process listens, or it cannot be determined (a full queue, another user's socket).
        Ok(_) | Err(_) => Err(ListenerError::InUse(path.to_owned())),
    }
}

/// Binds a socket that other users cannot open even for a moment: on Linux the file is created with
/// the mode of the unbound socket. Elsewhere the mode is set afterwards.
fn bind_private(path: &Path) -> io::Result<(UnixListener, Metadata)> {
    let private = Permissions::from_mode(0o600);
    let socket = UnixSocket::new_stream()?;
    if cfg!(target_os = "linux") {
        File::from(socket.as_fd().try_clone_to_owned()?).set_permissions(private.clone())?;
    }
    socket.bind(path)?;
    fs::set_permissions(path, private)?;
    Ok((socket.listen(BACKLOG)?, fs::symlink_metadata(path)?))
}

/// The file of a bound socket, removed on drop, unless another file has taken its place.
struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| found.dev() == self.device && found.ino() == self.inode);
        if ours {
            // A failure is ignored: the next start replaces the file.
            let _ = fs::remove_file(&self.path);
        }
    }
}
