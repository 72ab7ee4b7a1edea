//! Certificates, configuration files and arguments of the cluster's processes.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::NODE;
use crate::process;

/// Network interface of the pods' bridge.
pub const BRIDGE: &str = "obelysk0";
/// Port of the apiserver.
const API_PORT: u16 = 26443;
/// Port of etcd.
const ETCD_PORT: u16 = 22379;
/// Addresses of services.
const SERVICES: &str = "10.97.0.0/16";
/// Addresses of pods.
const PODS: &str = "10.86.0.0/24";

/// A file of the cluster's folder as text.
pub fn path(folder: &Path, file: &str) -> String {
    folder.join(file).display().to_string()
}

/// Write everything that processes read.
pub fn write(folder: &Path, runtime: &Path, pause_image: &str) -> Result<()> {
    let address = machine_address();
    certificates(folder, &address)?;
    for user in ["admin", "kubelet"] {
        fs::write(folder.join(format!("{user}.kubeconfig")), kubeconfig(folder, user))?;
    }
    fs::create_dir_all(folder.join("cni"))?;
    fs::write(folder.join("cni/10-bridge.conflist"), cni())?;
    fs::write(folder.join("containerd.toml"), containerd(folder, runtime, pause_image))?;
    fs::write(folder.join("kubelet.yaml"), kubelet_configuration(folder))?;
    fs::write(folder.join("kube-proxy.yaml"), proxy_configuration(folder))?;
    Ok(fs::write(folder.join("storage-class.yaml"), STORAGE_CLASS)?)
}

/// The address by which pods reach the apiserver.
fn machine_address() -> String {
    let addresses = process::output(Command::new("hostname").arg("-I")).unwrap_or_default();
    addresses.split_whitespace().next().unwrap_or("127.0.0.1").to_owned()
}

fn openssl(folder: &Path, arguments: &[&str]) -> Result<()> {
    process::output(Command::new("openssl").current_dir(folder).args(arguments)).map(drop)
}

fn certificates(folder: &Path, address: &str) -> Result<()> {
    const KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    let authority =
        ["req", "-x509", "-days", "3650", "-subj", "/CN=obelysk-local", "-keyout", "ca.key", "-out", "ca.crt"];
    openssl(folder, &[&authority[..], &KEY].concat())?;
    let names = format!(
        "IP:127.0.0.1,IP:10.97.0.1,IP:{address},DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc"
    );
    let own = format!("IP:127.0.0.1,DNS:{NODE}");
    for (name, subject, names) in [
        ("apiserver", "/CN=kube-apiserver", names.as_str()),
        ("admin", "/O=system:masters/CN=admin", "DNS:admin"),
        ("kubelet", "/O=system:masters/CN=node", own.as_str()),
    ] {
        let (key, request, certificate) = (format!("{name}.key"), format!("{name}.csr"), format!("{name}.crt"));
        openssl(folder, &[&["req", "-subj", subject, "-keyout", &key, "-out", &request][..], &KEY].concat())?;
        let extensions = format!("subjectAltName={names}\nextendedKeyUsage=serverAuth,clientAuth\n");
        fs::write(folder.join("extensions"), extensions)?;
        let sign = [
            "x509",
            "-req",
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "3650",
            "-extfile",
            "extensions",
        ];
        openssl(folder, &[&sign[..], &["-in", &request, "-out", &certificate]].concat())?;
    }
    openssl(folder, &["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "service-accounts.key"])
}

fn kubeconfig(folder: &Path, user: &str) -> String {
    let [authority, certificate, key] =
        ["ca.crt".to_owned(), format!("{user}.crt"), format!("{user}.key")].map(|file| path(folder, &file));
    format!(
        r#"apiVersion: v1
kind: Config
clusters: [{{name: local, cluster: {{server: "https://127.0.0.1:{API_PORT}", certificate-authority: {authority}}}}}]
users: [{{name: {user}, user: {{client-certificate: {certificate}, client-key: {key}}}}}]
contexts: [{{name: local, context: {{cluster: local, user: {user}}}}}]
current-context: local
"#
    )
}

fn cni() -> String {
    format!(
        r#"{{"cniVersion": "0.4.0", "name": "obelysk", "plugins": [
  {{"type": "bridge", "bridge": "{BRIDGE}", "isGateway": true, "ipMasq": true, "hairpinMode": true,
    "ipam": {{"type": "host-local", "ranges": [[{{"subnet": "{PODS}"}}]], "routes": [{{"dst": "0.0.0.0/0"}}]}}}},
  {{"type": "portmap", "capabilities": {{"portMappings": true}}}}]}}
"#
    )
}

fn containerd(folder: &Path, runtime: &Path, pause_image: &str) -> String {
    let [state, socket, cni, content] =
        ["containerd-state", "containerd.sock", "cni", "containerd"].map(|file| path(folder, file));
    let runc = path(runtime, "runc");
    // Lowering the OOM score needs a capability that not every machine gives.
    format!(
        r#"version = 3
root = "{content}"
state = "{state}"
[grpc]
  address = "{socket}"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{pause_image}"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["/usr/lib/cni"]
    conf_dir = "{cni}"
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
      BinaryName = "{runc}"
[plugins."io.containerd.nri.v1.nri"]
  disable = true
"#
    )
}

/// Servers that pods ask for names: the machine's. The cluster has none of its own, and a kubelet without any warns at every pod.
fn name_servers() -> String {
    // Where systemd's stub answers on a loopback address, which pods cannot reach, this file has those behind it.
    let files = ["/run/systemd/resolve/resolv.conf", "/etc/resolv.conf"];
    let text = files.iter().find_map(|file| fs::read_to_string(file).ok()).unwrap_or_default();
    let servers = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver")).map(str::trim);
    servers.take(3).collect::<Vec<_>>().join(", ")
}

fn kubelet_configuration(folder: &Path) -> String {
    let [authority, certificate, key, socket] =
        ["ca.crt", "kubelet.crt", "kubelet.key", "containerd.sock"].map(|file| path(folder, file));
    let servers = name_servers();
    format!(
        r#"apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {{anonymous: {{enabled: false}}, webhook: {{enabled: true}}, x509: {{clientCAFile: {authority}}}}}
authorization: {{mode: Webhook}}
cgroupDriver: cgroupfs
failSwapOn: false
failCgroupV1: false
containerRuntimeEndpoint: "unix://{socket}"
evictionHard: {{memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}}
clusterDNS: [{servers}]
clusterDomain: cluster.local
tlsCertFile: {certificate}
tlsPrivateKeyFile: {key}
localStorageCapacityIsolation: false
port: 20250
healthzPort: 20248
"#
    )
}

fn proxy_configuration(folder: &Path) -> String {
    let credentials = path(folder, "admin.kubeconfig");
    format!(
        r#"apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {{kubeconfig: {credentials}}}
mode: iptables
clusterCIDR: {PODS}
hostnameOverride: {NODE}
conntrack: {{maxPerCore: 0, min: 0}}
healthzBindAddress: "127.0.0.1:20256"
metricsBindAddress: "127.0.0.1:20249"
"#
    )
}

/// Volumes come from the provisioner, on a folder of the node. Claims that name no class are of this one.
const STORAGE_CLASS: &str = r#"apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: obelysk-local
  annotations: {storageclass.kubernetes.io/is-default-class: "true"}
provisioner: obelysk.dev/local
volumeBindingMode: WaitForFirstConsumer
reclaimPolicy: Delete
"#;

fn arguments(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

pub fn etcd(folder: &Path) -> Vec<String> {
    let (data, peer) = (path(folder, "etcd"), ETCD_PORT + 1);
    // The cluster is thrown away as a whole: what a crash could lose is of no interest.
    arguments(&format!(
        "--data-dir {data} --listen-client-urls http://127.0.0.1:{ETCD_PORT} --advertise-client-urls http://127.0.0.1:{ETCD_PORT}
         --listen-peer-urls http://127.0.0.1:{peer} --initial-advertise-peer-urls http://127.0.0.1:{peer}
         --initial-cluster default=http://127.0.0.1:{peer} --unsafe-no-fsync"
    ))
}

pub fn apiserver(folder: &Path) -> Vec<String> {
    let p = |file| path(folder, file);
    arguments(&format!(
        "--etcd-servers=http://127.0.0.1:{ETCD_PORT} --secure-port={API_PORT} --bind-address=0.0.0.0 --advertise-address={}
         --client-ca-file={} --tls-cert-file={} --tls-private-key-file={} --cert-dir={}
         --service-account-issuer=https://kubernetes.default.svc --service-account-key-file={}
         --service-account-signing-key-file={} --authorization-mode=Node,RBAC --service-cluster-ip-range={SERVICES}
         --allow-privileged --kubelet-client-certificate={} --kubelet-client-key={}
         --kubelet-preferred-address-types=InternalIP",
        machine_address(),
        p("ca.crt"),
        p("apiserver.crt"),
        p("apiserver.key"),
        p("apiserver"),
        p("service-accounts.key"),
        p("service-accounts.key"),
        p("admin.crt"),
        p("admin.key"),
    ))
}

pub fn controller_manager(folder: &Path) -> Vec<String> {
    let p = |file| path(folder, file);
    // A node is given up quickly: tests of node loss wait for it.
    arguments(&format!(
        "--kubeconfig={} --service-account-private-key-file={} --root-ca-file={} --use-service-account-credentials
         --leader-elect=false --secure-port=20257 --cert-dir={} --node-monitor-grace-period=20s --node-monitor-period=2s",
        p("admin.kubeconfig"),
        p("service-accounts.key"),
        p("ca.crt"),
        p("controller-manager"),
    ))
}

pub fn scheduler(folder: &Path) -> Vec<String> {
    let (credentials, certificates) = (path(folder, "admin.kubeconfig"), path(folder, "scheduler"));
    arguments(&format!("--kubeconfig={credentials} --leader-elect=false --secure-port=20259 --cert-dir={certificates}"))
}

pub fn kubelet(folder: &Path) -> Vec<String> {
    let p = |file| path(folder, file);
    arguments(&format!(
        "--kubeconfig={} --config={} --root-dir={} --hostname-override={NODE} --node-labels=kubernetes.io/hostname={NODE}",
        p("kubelet.kubeconfig"),
        p("kubelet.yaml"),
        p("kubelet"),
    ))
}

pub fn proxy(folder: &Path) -> Vec<String> {
    arguments(&format!("--config={}", path(folder, "kube-proxy.yaml")))
}
