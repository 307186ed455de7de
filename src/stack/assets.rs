//! The configuration that comes with the program: what `prometheus/`, `alertmanager/`, `grafana/` and the compose
//! file of the source tree hold, embedded, so that nothing is looked up in a checkout.

use rust_embed::RustEmbed;
use std::{borrow::Cow, collections::BTreeMap};

// Not the folders as they are: who builds from a checkout may have secrets in them.
#[derive(RustEmbed)]
#[folder = "prometheus/rules"]
struct Rules;

#[derive(RustEmbed)]
#[folder = "grafana/provisioning"]
struct Provisioning;

#[derive(RustEmbed)]
#[folder = "grafana/dashboards"]
struct Dashboards;

/// The compose file.
#[must_use]
pub fn compose_file() -> &'static str {
    include_str!("../../docker-compose.yml")
}

/// Every file by its path in the source tree.
#[must_use]
pub fn assets() -> BTreeMap<String, Cow<'static, [u8]>> {
    let mut files = BTreeMap::new();
    let mut single = |path: &str, text: &'static str| {
        files.insert(path.to_owned(), Cow::Borrowed(text.as_bytes()));
    };
    single("prometheus/prometheus.yml", include_str!("../../prometheus/prometheus.yml"));
    single("alertmanager/alertmanager.yml", include_str!("../../alertmanager/alertmanager.yml"));
    take::<Rules>("prometheus/rules", &mut files);
    take::<Provisioning>("grafana/provisioning", &mut files);
    take::<Dashboards>("grafana/dashboards", &mut files);
    files
}

fn take<T: RustEmbed>(below: &str, files: &mut BTreeMap<String, Cow<'static, [u8]>>) {
    for name in T::iter() {
        let data = name.ends_with(".yml") || name.ends_with(".yaml") || name.ends_with(".json");
        if let Some(file) = T::get(&name).filter(|_| data) {
            files.insert(format!("{below}/{name}"), file.data);
        }
    }
}
