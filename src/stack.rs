//! The stack around the server: Prometheus, Alertmanager and Grafana with it, on this machine or another.
//!
//! # Contract
//!
//! - **One directory.** Whatever a stack of processes has - data, rendered configuration, logs, state - is below
//!   its `data_dir`. A file is replaced, never written over.
//! - **Found by a mark.** Whatever is started carries [`MARK`] in its environment, with that directory. A process
//!   is signalled through a handle that is opened first and checked after, so that a number that was given to
//!   another process kills nobody.
//! - **One supervisor.** It holds a lock for as long as it lives; that the lock is free says that there is none.
//! - **Nothing half-started.** Ports and programs are checked before anything is started; what does not become
//!   healthy is stopped again. After a kill at any moment, the next start or stop finds what is left and ends it.

mod assets;
mod compose;
mod edit;
pub mod inventory;
mod local;
mod plan;
mod ports;
mod probe;
mod processes;
pub mod redact;
mod remote;
mod render;
mod settings;
mod state;
mod supervisor;

pub use assets::{assets, compose_file};
pub use compose::Compose;
pub use edit::set;
pub use inventory::Inventory;
pub use local::{Dir, StopError, Stopped};
pub use plan::{Around, NoPlan, Plan, Service};
pub use ports::{Conflict, conflicts};
pub use probe::{Answer, get_tcp, get_unix, healthy};
pub use processes::{Identity, MARK, marked};
pub use remote::{Ssh, quoted};
pub use render::{Inputs, render};
pub use settings::{
    Backend, Enabled, KEYS, Key, Loaded, Profile, ServiceName, Settings, Sources, Tool, load,
};
pub use state::{Phase, ServiceState, State};
pub use supervisor::supervise;
