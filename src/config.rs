//! The settings: the file, the environment and the flags, mapped to what the components want.
//!
//! One table ([`KEYS`]) names every setting; the file, the environment, the flags, the documentation and
//! `config show` all follow from it. Of two sources the stronger wins: flag, environment, file, default. The
//! environment is passed in, so that nothing but the command line reads the real one.

mod jobs;
mod keys;
mod load;
mod node;
mod pushgateway;
mod retention;
mod settings;
mod show;
mod stream;
mod suggest;
mod units;
mod value;

pub use keys::{DAYS_VARIABLES, KEYS, Key, OTHER_VARIABLES};
pub use load::{Invalid, Loaded, Origin, Sources, load};
pub use pushgateway::{KeepTimes, Prefix, Push, TelemetryPath, Web};
pub use retention::{Age, Bound, Globs, Retention};
pub use settings::{
    Auth, Dedup, Durability, Exposed, Limits, Listen, Log, Metrics, Rules, Secret, Settings,
    Shutdown, Size, Snapshot, Store, Token,
};
pub use show::show;
pub use stream::{Origins, Stream};
pub use units::duration as parse_duration;
pub use value::split_role;
