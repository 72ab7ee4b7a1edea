//! Where a proof is submitted. Declared for manifests that will need it; this version refuses it as unsupported.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::KeyRef;

/// Where to submit: at most one.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default, KubeSchema)]
#[x_kube(validation = Rule::new("[has(self.dryRun), has(self.submit)].exists_one(x, x)")
    .message("submission: set exactly one of dryRun: {network}, submit: {network}; leave submission out for none"))]
#[serde(rename_all = "camelCase")]
pub struct Submission {
    /// Build and check the transactions only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<DryRun>,
    /// Sign and send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submit: Option<Submit>,
}

/// Build and check the transactions only.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, KubeSchema)]
#[x_kube(validation = Rule::new("(self.network == 'Custom') == has(self.custom)").message("network Custom needs custom: {chainId, rpcUrl or rpcSecretRef}; the named networks take none"))]
#[serde(rename_all = "camelCase")]
pub struct DryRun {
    /// Network.
    pub network: Network,
    /// A network that has no name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom: Option<CustomNetwork>,
    /// Address of the contract.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 66))]
    pub contract: Option<String>,
}

/// Sign and send.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, KubeSchema)]
#[x_kube(
    validation = Rule::new("(self.network == 'Custom') == has(self.custom)").message("network Custom needs custom: {chainId, rpcUrl or rpcSecretRef}; the named networks take none"),
    validation = Rule::new("has(self.account) || has(self.paymaster) && self.network == 'Sepolia'").message("submit needs account: {address, secretRef}; only on Sepolia a paymaster alone will do"),
)]
#[serde(rename_all = "camelCase")]
pub struct Submit {
    /// Network.
    pub network: Network,
    /// A network that has no name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom: Option<CustomNetwork>,
    /// Address of the contract.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 66))]
    pub contract: Option<String>,
    /// Account that signs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Account>,
    /// Who pays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paymaster: Option<Paymaster>,
    /// When it counts as done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finality: Option<Finality>,
    /// Most that it may cost, in FRI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40))]
    pub max_fee: Option<String>,
}

/// A network.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum Network {
    /// Test network.
    Sepolia,
    /// Main network.
    Mainnet,
    /// Another one.
    Custom,
}

/// A network that has no name.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, KubeSchema)]
#[x_kube(validation = Rule::new("[has(self.rpcUrl), has(self.rpcSecretRef)].exists_one(x, x)").message("custom: set exactly one of rpcUrl, rpcSecretRef"))]
#[serde(rename_all = "camelCase")]
pub struct CustomNetwork {
    /// Chain id.
    #[schemars(length(min = 1, max = 66))]
    pub chain_id: String,
    /// Address of a node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub rpc_url: Option<String>,
    /// Address of a node, with a key in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpc_secret_ref: Option<KeyRef>,
}

/// Account that signs.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// Address.
    #[schemars(length(min = 3, max = 66))]
    pub address: String,
    /// Key of the account.
    pub secret_ref: KeyRef,
}

/// Who pays.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Paymaster {
    /// Key of the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_secret_ref: Option<KeyRef>,
    /// Address of the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub url: Option<String>,
}

/// When a transaction counts as done.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[allow(missing_docs)]
pub enum Finality {
    AcceptedOnL2,
    AcceptedOnL1,
}
