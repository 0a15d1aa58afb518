extern crate std;
#[path="/work/wt/play/tests/src/answer.rs"] mod answer;
#[path="/work/wt/play/tests/src/daemon.rs"] mod daemon;
#[path="/work/wt/play/tests/src/request.rs"] mod request;
#[path="/work/wt/play/tests/src/shared.rs"] mod shared;
#[path="/work/wt/play/tests/src/site.rs"] mod site;
#[path="/work/wt/play/tests/src/target.rs"] mod target;
#[path="/work/wt/play/tests/src/vault.rs"] mod vault;
#[path="/work/wt/play/tests/src/wait.rs"] mod wait;
#[path="/work/wt/play/tests/src/written.rs"] mod written;
mod binary { use std::path::*; use std::process::Command; pub fn credsmith()->Command{Command::new("x")} pub fn fixture(_:&str,_:&Path)->PathBuf{PathBuf::new()} }
mod provider { pub const CLIENT_ID:&str="a"; pub const CLIENT_SECRET:&str="b"; pub struct Provider; impl Provider{ pub fn issuer(&self)->String{String::new()} } }
pub use answer::Answer; pub use site::Site; pub use daemon::*; pub use request::*; pub use wait::*; pub use vault::*; pub use target::*; pub use written::*;pub use shared::*;pub use binary::*; pub use provider::*;
