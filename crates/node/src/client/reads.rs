//! Reads. Those that take a secret key see what this key may see.

use super::{ClientError, Market, REQUEST_TIMEOUT};
use crate::api::{
    AccountView, Board, DevInvoice, DevPayment, JobView, KeyView, LeaseView, MachineView, OfferView,
    PartyView, PlacedEvent, Quote, QuoteRequest, TaskView, TopupView, WithdrawalView, WorkView,
};
use market::{
    engine::explain::{WhyIdle, WhyOrder},
    id::{JobId, LeaseId, MachineId, OfferId, OrderId, PartyId, TopupId, WithdrawalId},
    key::{PublicKey, SecretKey},
    log::{ConsistencyProof, InclusionProof, SignedHead},
    receipt::Receipt,
};
use reqwest::Method;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::time::Duration;

/// Which offers are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfferQuery {
    /// Only those after this one; pages go on with the last id of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<OfferId>,
    /// At most so many; the market gives at most 1000 at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Only those of this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineId>,
    /// Only those of this party.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub party: Option<PartyId>,
}

impl Market {
    /// Everything that a machine has to do. With the `revision` of the last answer the market waits up to `wait_ms` for
    /// something else to tell.
    pub async fn work(
        &self,
        machine_secret: &SecretKey,
        machine: MachineId,
        revision: Option<u64>,
        wait_ms: u64,
    ) -> Result<WorkView, ClientError> {
        let revision = revision.map(|r| format!("&revision={r}")).unwrap_or_default();
        let path = format!("/v1/work?machine={machine}{revision}&wait_ms={wait_ms}");
        // Not retried here: whoever works has its own way to wait, and wants to know.
        let timeout = REQUEST_TIMEOUT + Duration::from_millis(wait_ms);
        let request = self.request(Method::GET, &path, Some(machine_secret)).timeout(timeout);
        self.decode(self.attempt(request).await?).await
    }

    /// What a key is here; `None` when it was never registered.
    pub async fn key(&self, key: &PublicKey) -> Result<Option<KeyView>, ClientError> {
        self.get_if_known(&format!("/v1/keys/{key}"), None).await
    }

    /// The market at a glance.
    pub async fn board(&self) -> Result<Board, ClientError> {
        self.get("/v1/board", None).await
    }

    /// Standing offers.
    pub async fn offers(&self, query: &OfferQuery) -> Result<Vec<OfferView>, ClientError> {
        self.retried(|| async {
            let request = self.request(Method::GET, "/v1/offers", None).timeout(REQUEST_TIMEOUT).query(query);
            self.decode(self.attempt(request).await?).await
        })
        .await
    }

    /// Entries of the public log from number `start` on, counted from 0; at most as many as the market gives at once.
    pub async fn log_entries(&self, start: u64) -> Result<Vec<PlacedEvent>, ClientError> {
        self.get(&format!("/v1/log/entries?start={start}"), None).await
    }

    /// One offer; `None` when it does not stand.
    pub async fn offer(&self, offer: OfferId) -> Result<Option<OfferView>, ClientError> {
        self.get_if_known(&format!("/v1/offers/{offer}"), None).await
    }

    /// What a job would cost on the live offers.
    pub async fn quote(&self, request: &QuoteRequest) -> Result<Quote, ClientError> {
        self.post("/v1/quotes", request, None).await
    }

    /// The jobs of a buyer that the market still remembers, the newest first.
    pub async fn jobs(&self, buyer: &SecretKey) -> Result<Vec<JobView>, ClientError> {
        self.get("/v1/jobs", Some(buyer)).await
    }

    /// A job of this buyer.
    pub async fn job(&self, buyer: &SecretKey, job: JobId) -> Result<JobView, ClientError> {
        self.get(&format!("/v1/jobs/{job}"), Some(buyer)).await
    }

    /// The tasks of a job of this buyer.
    pub async fn tasks(&self, buyer: &SecretKey, job: JobId) -> Result<Vec<TaskView>, ClientError> {
        self.get(&format!("/v1/jobs/{job}/tasks"), Some(buyer)).await
    }

    /// A lease.
    pub async fn lease(&self, lease: LeaseId) -> Result<LeaseView, ClientError> {
        self.get(&format!("/v1/leases/{lease}"), None).await
    }

    /// The machines of a party.
    pub async fn machines(&self, party: PartyId) -> Result<Vec<MachineView>, ClientError> {
        self.get(&format!("/v1/machines?party={party}"), None).await
    }

    /// A party, as everybody may see it.
    pub async fn party(&self, party: PartyId) -> Result<PartyView, ClientError> {
        self.get(&format!("/v1/parties/{party}"), None).await
    }

    /// A party's money; `secret` is the party's key.
    pub async fn account(&self, secret: &SecretKey) -> Result<AccountView, ClientError> {
        self.get("/v1/account", Some(secret)).await
    }

    /// A top-up of this party.
    pub async fn topup(&self, secret: &SecretKey, topup: TopupId) -> Result<TopupView, ClientError> {
        self.get(&format!("/v1/topups/{topup}"), Some(secret)).await
    }

    /// A withdrawal of this party.
    pub async fn withdrawal(
        &self,
        secret: &SecretKey,
        id: WithdrawalId,
    ) -> Result<WithdrawalView, ClientError> {
        self.get(&format!("/v1/withdrawals/{id}"), Some(secret)).await
    }

    /// Why the offers of a market do or do not match an order of this buyer.
    pub async fn why_order(&self, buyer: &SecretKey, order: OrderId) -> Result<WhyOrder, ClientError> {
        self.get(&format!("/v1/orders/{order}/why"), Some(buyer)).await
    }

    /// Why an offer has no work, and what would have won.
    pub async fn why_idle(&self, offer: OfferId) -> Result<WhyIdle, ClientError> {
        self.get(&format!("/v1/offers/{offer}/why-idle"), None).await
    }

    /// The receipt of a settled job, for its buyer and the providers in it; `None` before it is settled. It is as the
    /// market gave it: see [`Receipt::verify`].
    pub async fn receipt(&self, secret: &SecretKey, job: JobId) -> Result<Option<Receipt>, ClientError> {
        self.get_if_known(&format!("/v1/receipts/{job}"), Some(secret)).await
    }

    /// The newest signed head of the public log.
    pub async fn log_head(&self) -> Result<SignedHead, ClientError> {
        self.get("/v1/log/head", None).await
    }

    /// Proof that the log of `new` events continues the log of `old` events.
    pub async fn consistency(&self, old: u64, new: u64) -> Result<ConsistencyProof, ClientError> {
        self.get(&format!("/v1/log/consistency?old={old}&new={new}"), None).await
    }

    /// Proof that the event at `index` is in the log of `size` events.
    pub async fn inclusion(&self, index: u64, size: u64) -> Result<InclusionProof, ClientError> {
        self.get(&format!("/v1/log/inclusion?index={index}&size={size}"), None).await
    }

    /// Pays an invoice, once, out of the market's own purse of play money. Only markets with dev payments have it.
    pub async fn dev_pay(&self, bolt11: &str) -> Result<DevPayment, ClientError> {
        self.post("/v1/dev/pay", &serde_json::json!({ "bolt11": bolt11 }), None).await
    }

    /// An invoice of the outside world's play-money wallet, to withdraw to. Only markets with dev payments have it.
    pub async fn dev_invoice(&self, amount_msat: market::units::Msat) -> Result<DevInvoice, ClientError> {
        self.post("/v1/dev/invoice", &serde_json::json!({ "amount_msat": amount_msat }), None).await
    }

    async fn get_if_known<T: DeserializeOwned>(
        &self,
        path: &str,
        reader: Option<&SecretKey>,
    ) -> Result<Option<T>, ClientError> {
        match self.get(path, reader).await {
            Ok(found) => Ok(Some(found)),
            Err(ClientError::Refused { status: 404, .. }) => Ok(None),
            Err(e) => Err(e),
        }
    }
}
