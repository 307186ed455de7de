//! The configuration of the services, for the addresses and paths of one stack.
//!
//! What comes with the program names services as containers do (`prometheus:9090`). It is read as YAML, these names
//! are replaced in every text, and what concerns a service that is left out goes: its scrape job, its place among the
//! Alertmanagers. Of Alertmanager's receivers those stay whose secrets are there.

use super::assets::assets;
use super::settings::ServiceName;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// What the configuration depends on.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// The services that there are, each with the address it is reached by.
    pub addresses: BTreeMap<ServiceName, String>,
    /// Where the configuration will be.
    pub config_dir: PathBuf,
    /// The directory of the stack.
    pub data_dir: PathBuf,
    /// Where secrets of receivers are.
    pub secrets: PathBuf,
    /// A configuration instead of the one that comes with the program.
    pub prometheus: Option<PathBuf>,
    /// The same for Alertmanager.
    pub alertmanager: Option<PathBuf>,
    /// Where Grafana listens.
    pub grafana_listen: (String, u16),
    /// A token of the server.
    pub token: String,
    /// What stands before every path of the server.
    pub prefix: String,
    /// Where the server is scraped.
    pub telemetry_path: String,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// The name of the file with the token, in `secrets`.
const TOKEN_FILE: &str = "observatory_token";

/// Renders everything: contents by path below the directory of the configuration.
///
/// # Errors
///
/// A file of the person's own cannot be read or is no YAML.
pub fn render(inputs: &mut Inputs) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let shipped = assets();
    let mut files = BTreeMap::new();
    files.insert(format!("secrets/{TOKEN_FILE}"), format!("{}\n", inputs.token).into_bytes());
    if inputs.addresses.contains_key(&ServiceName::Prometheus) {
        let text = own_or(inputs.prometheus.as_deref(), shipped.get("prometheus/prometheus.yml"))?;
        files.insert("prometheus/prometheus.yml".to_owned(), inputs.prometheus(&text)?);
        let rules = shipped.iter().filter(|it| it.0.starts_with("prometheus/rules/"));
        files.extend(rules.map(|(path, text)| (path.clone(), text.to_vec())));
    }
    if inputs.addresses.contains_key(&ServiceName::Alertmanager) {
        let text =
            own_or(inputs.alertmanager.as_deref(), shipped.get("alertmanager/alertmanager.yml"))?;
        let own = inputs.alertmanager.is_some();
        files.insert("alertmanager/alertmanager.yml".to_owned(), inputs.alertmanager(&text, own)?);
        let others = shipped.iter().filter(|it| it.0.starts_with("alertmanager/"));
        for (path, content) in others {
            files.entry(path.clone()).or_insert_with(|| content.to_vec());
        }
    }
    if inputs.addresses.contains_key(&ServiceName::Grafana) {
        inputs.grafana(&shipped, &mut files)?;
    }
    Ok(files)
}

fn own_or(
    own: Option<&Path>,
    shipped: Option<&std::borrow::Cow<'static, [u8]>>,
) -> Result<String, String> {
    match (own, shipped) {
        (Some(path), _) => {
            fs::read_to_string(path).map_err(|err| format!("cannot read {}: {err}", path.display()))
        }
        (None, Some(text)) => Ok(String::from_utf8_lossy(text).into_owned()),
        (None, None) => Err("this program was built without its configuration files".to_owned()),
    }
}

fn read(text: &str, what: &str) -> Result<Value, String> {
    serde_saphyr::from_str(text).map_err(|err| format!("{what}: {}", err.without_snippet()))
}

fn write(value: &Value) -> Result<Vec<u8>, String> {
    let head = "# Rendered by `observatory up`: changes here are lost.\n";
    let text = serde_saphyr::to_string(value).map_err(|err| err.to_string())?;
    Ok(format!("{head}{text}").into_bytes())
}

impl Inputs {
    fn prometheus(&mut self, text: &str) -> Result<Vec<u8>, String> {
        let mut root = read(text, "prometheus.yml")?;
        let mut left_out = Vec::new();
        if let Some(jobs) = root.get_mut("scrape_configs").and_then(Value::as_array_mut) {
            jobs.retain(|it| self.serves(it));
            let scrapes = |it: &&mut Value| {
                it.get("static_configs").is_some_and(|it| targets(it, ServiceName::Observatory))
            };
            for job in jobs.iter_mut().filter(scrapes) {
                let path = format!("{}{}", self.prefix, self.telemetry_path);
                if let Some(job) = job.as_object_mut().filter(|_| path != "/metrics") {
                    job.entry("metrics_path").or_insert_with(|| Value::from(path));
                }
            }
        }
        let managers = root.pointer_mut("/alerting/alertmanagers").and_then(Value::as_array_mut);
        if let Some(managers) = managers {
            managers.retain(|it| self.serves(it));
            if managers.is_empty() {
                left_out.push("alerting");
            }
        }
        if let Some(root) = root.as_object_mut() {
            root.retain(|key, _| !left_out.contains(&key.as_str()));
        }
        self.place(&mut root);
        write(&root)
    }

    /// Whether a job, or a group of Alertmanagers, names no service that is left out.
    fn serves(&self, job: &Value) -> bool {
        ServiceName::ALL.into_iter().all(|it| self.addresses.contains_key(&it) || !targets(job, it))
    }

    fn alertmanager(&mut self, text: &str, own: bool) -> Result<Vec<u8>, String> {
        let mut root = read(text, "alertmanager.yml")?;
        if !own {
            self.drop_receivers(&mut root);
        }
        self.place(&mut root);
        write(&root)
    }

    /// Takes out of the receivers what needs a secret that is not there.
    fn drop_receivers(&mut self, root: &mut Value) {
        let lacks = |it: &str| {
            let name = secret(it).filter(|it| *it != TOKEN_FILE);
            name.is_some_and(|it| !self.secrets.join(it).is_file())
        };
        let global = root.get("global").cloned().unwrap_or_default();
        let global_lacks = |key: &str| global.get(key).and_then(Value::as_str).is_some_and(lacks);
        let mut kinds: Vec<&str> = Vec::new();
        if global_lacks("smtp_auth_password_file") {
            kinds.push("email_configs");
        }
        if global_lacks("slack_api_url_file") {
            kinds.push("slack_configs");
        }
        let mut dropped = Vec::new();
        let receivers = root.get_mut("receivers").and_then(Value::as_array_mut);
        for receiver in receivers.into_iter().flatten().filter_map(Value::as_object_mut) {
            receiver.retain(|key, value| {
                let Some(list) = value.as_array_mut() else { return true };
                let before = list.len();
                list.retain(|it| !kinds.contains(&key.as_str()) && !texts(it).any(&lacks));
                if list.len() < before {
                    dropped.push(key.trim_end_matches("_configs").to_owned());
                }
                !list.is_empty()
            });
        }
        if let Some(global) = root.get_mut("global").and_then(Value::as_object_mut) {
            // Alertmanager wants a file that it names to be there.
            global.retain(|key, _| {
                let mail = key.starts_with("smtp_") && kinds.contains(&"email_configs");
                !(mail || key == "slack_api_url_file" && kinds.contains(&"slack_configs"))
            });
        }
        dropped.sort();
        dropped.dedup();
        if !dropped.is_empty() {
            self.notes.push(format!(
                "Alertmanager tells Observatory only, not {}: their secrets are not in {}",
                dropped.join(", "),
                self.secrets.display()
            ));
        }
    }

    fn grafana(
        &self,
        shipped: &BTreeMap<String, std::borrow::Cow<'static, [u8]>>,
        files: &mut BTreeMap<String, Vec<u8>>,
    ) -> Result<(), String> {
        for (path, content) in shipped.iter().filter(|it| it.0.starts_with("grafana/")) {
            if path.ends_with(".json") {
                files.insert(path.clone(), content.to_vec());
                continue;
            }
            let mut root = read(&String::from_utf8_lossy(content), path)?;
            if let Some(sources) = root.get_mut("datasources").and_then(Value::as_array_mut) {
                sources.retain(|it| self.serves(it));
            }
            self.place(&mut root);
            files.insert(path.clone(), write(&root)?);
        }
        let (address, port) = &self.grafana_listen;
        let data = self.data_dir.join("grafana");
        let provisioning = self.config_dir.join("grafana/provisioning");
        let text = format!(
            "; Rendered by `observatory up`: changes here are lost.\n\
             [paths]\ndata = {data}\nlogs = {data}/log\nplugins = {data}/plugins\nprovisioning = {provisioning}\n\
             [server]\nhttp_addr = {address}\nhttp_port = {port}\n\
             [analytics]\nreporting_enabled = false\ncheck_for_updates = false\ncheck_for_plugin_updates = false\n\
             [news]\nnews_feed_enabled = false\n\
             [users]\nallow_sign_up = false\n\
             [log]\nmode = console\n",
            data = data.display(),
            provisioning = provisioning.display(),
        );
        files.insert("grafana/grafana.ini".to_owned(), text.into_bytes());
        Ok(())
    }

    /// Puts addresses and paths in their places, in every text.
    fn place(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.placed(text),
            Value::Array(items) => items.iter_mut().for_each(|it| self.place(it)),
            Value::Object(entries) => entries.values_mut().for_each(|it| self.place(it)),
            _ => {}
        }
    }

    fn placed(&self, text: &str) -> String {
        if text == "/etc/grafana/dashboards" {
            return self.config_dir.join("grafana/dashboards").display().to_string();
        }
        if let Some(name) = secret(text) {
            let dir =
                if name == TOKEN_FILE { &self.config_dir.join("secrets") } else { &self.secrets };
            return dir.join(name).display().to_string();
        }
        let mut res = text.to_owned();
        for (name, address) in &self.addresses {
            if *name == ServiceName::Observatory && !self.prefix.is_empty() {
                res = replaced(
                    &res,
                    &format!("{}/", usual_address(*name)),
                    &format!("{address}{}/", self.prefix),
                );
            }
            res = replaced(&res, &usual_address(*name), address);
        }
        res
    }
}

/// The address that the files name a service by.
fn usual_address(name: ServiceName) -> String {
    format!("{name}:{}", name.usual_port())
}

/// `text` with `to` for every `from` that is no part of a longer name.
fn replaced(text: &str, from: &str, to: &str) -> String {
    let mut res = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(from) {
        let part = |it: char| it.is_ascii_alphanumeric() || it == '-' || it == '_' || it == '.';
        let inside = before.ends_with(part) || after.starts_with(|it: char| it.is_ascii_digit());
        res.push_str(before);
        res.push_str(if inside { from } else { to });
        rest = after;
    }
    res.push_str(rest);
    res
}

/// Whether any text of `value` names `service` by its address.
fn targets(value: &Value, service: ServiceName) -> bool {
    let address = usual_address(service);
    texts(value).any(|it| replaced(it, &address, "") != it)
}

/// Every text in `value`.
fn texts(value: &Value) -> Box<dyn Iterator<Item = &str> + '_> {
    match value {
        Value::String(it) => Box::new(std::iter::once(it.as_str())),
        Value::Array(items) => Box::new(items.iter().flat_map(texts)),
        Value::Object(entries) => Box::new(entries.values().flat_map(texts)),
        _ => Box::new(std::iter::empty()),
    }
}

/// The name of a file with a secret, as the shipped files say it: Prometheus reads it beside its configuration,
/// Alertmanager from where it is started.
fn secret(path: &str) -> Option<&str> {
    path.strip_prefix("/etc/alertmanager/").unwrap_or(path).strip_prefix("secrets/")
}

#[cfg(test)]
mod tests;
