//! Sells and checks tokens.

use super::{
    key_file::{KeyFile, KeyFileError},
    open_invoices::{Open, OpenInvoices, OpenLimits, Place, Slot},
    uses::{SpendError, UseLog},
};
use crate::{
    l402::{
        Caveat, Challenge, Credential, Identifier, Limit, Rights, RightsError, Service, Token, TokenError,
        TokenId,
    },
    node::{Invoice, InvoiceError, InvoiceRequest, InvoiceState, LightningNode, NodeFuture, Unavailable},
};
use market::{
    id::{LeaseId, PaymentHash},
    units::{Msat, TimeMs},
};
use std::{
    collections::{BTreeSet, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

type Clock = dyn Fn() -> TimeMs + Send + Sync;

/// Where a gate gets its invoices: a node, or one with something to do around it.
pub trait Till: Send + Sync {
    /// Makes an invoice.
    fn invoice(&self, request: InvoiceRequest) -> NodeFuture<'_, Invoice, InvoiceError>;

    /// What became of one.
    fn state(&self, payment_hash: PaymentHash) -> NodeFuture<'_, Option<InvoiceState>, Unavailable>;
}

/// A node as a till.
#[derive(Clone)]
pub struct NodeTill(pub Arc<dyn LightningNode>);

impl Till for NodeTill {
    fn invoice(&self, request: InvoiceRequest) -> NodeFuture<'_, Invoice, InvoiceError> {
        self.0.create_invoice(request)
    }

    fn state(&self, payment_hash: PaymentHash) -> NodeFuture<'_, Option<InvoiceState>, Unavailable> {
        self.0.invoice(payment_hash)
    }
}

/// How a gate works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateSettings {
    /// The service that tokens are for, as their caveats call it.
    pub service: String,
    /// Where it is, for the holders of tokens.
    pub location: String,
    /// How long an invoice can be paid, in milliseconds.
    pub invoice_lifetime_ms: u64,
    /// How many may be open.
    pub open: OpenLimits,
    /// How many settled payments are remembered, so that the node is not asked again.
    pub settled_max: usize,
    /// The longest body that is read to compare its hash, in bytes.
    pub body_max_bytes: usize,
    /// How long a root key signs, in milliseconds.
    pub rotate_every_ms: u64,
    /// How long a token can last, in milliseconds, and so how long a root key is good after it was replaced.
    pub token_max_ms: u64,
}

impl GateSettings {
    /// Settings for a service, with everything else as most will want it.
    pub fn new(service: &str, location: &str) -> GateSettings {
        const DAY_MS: u64 = 86_400_000;
        GateSettings {
            service: service.to_owned(),
            location: location.to_owned(),
            invoice_lifetime_ms: 600_000,
            open: OpenLimits { per_client: 8, total: 4_096 },
            settled_max: 65_536,
            body_max_bytes: 65_536,
            rotate_every_ms: 30 * DAY_MS,
            token_max_ms: 30 * DAY_MS,
        }
    }
}

/// What is sold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// The price, more than nothing.
    pub price: Msat,
    /// What the token allows: one word.
    pub capability: String,
    /// The path that it is for; any of the service's where it is `None`.
    pub path: Option<String>,
    /// How long it lasts, in milliseconds; cut to [`GateSettings::token_max_ms`].
    pub lasts_ms: u64,
    /// How many requests it is good for.
    pub max_uses: Option<u32>,
    /// What it is, for whoever pays.
    pub about: String,
}

/// What a request needs a token for.
#[derive(Debug, Clone, Copy)]
pub struct Need<'a> {
    /// What it wants to do.
    pub capability: &'a str,
    /// Its path.
    pub path: &'a str,
    /// The lease that it is about.
    pub lease: Option<LeaseId>,
}

/// Why a token is not good for a request.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Not one of ours.
    #[error("the token was not signed here, or so long ago that its key is gone: buy another")]
    Signature,
    /// Its caveats.
    #[error(transparent)]
    Rights(#[from] RightsError),
    /// For something else.
    #[error("the token does not allow `{0}`")]
    Capability(String),
    /// For another path.
    #[error("the token is for {0} alone")]
    Path(String),
    /// For another lease, or for none.
    #[error("the token is not about this lease")]
    Lease,
    /// With another body.
    #[error("the token is for a request with another body")]
    Body,
    /// Too old.
    #[error("the token has expired")]
    Expired,
    /// Without its preimage.
    #[error("the preimage is not that of the token's payment")]
    Preimage,
    /// Given where one has to be bought, or the other way round.
    #[error("a token that was {0} is not good for this")]
    Kind(&'static str),
    /// A preimage, but no payment.
    #[error("the token's invoice is not settled: a preimage alone is no payment")]
    NotSettled,
    /// Used up, or not to be counted.
    #[error(transparent)]
    Uses(#[from] SpendError),
    /// The node does not say.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why nothing is sold now.
#[derive(Debug, thiserror::Error)]
pub enum NoChallenge {
    /// Enough invoices are open.
    #[error("too many invoices of yours, or altogether, are not paid yet: pay the last one, or wait a while")]
    TooManyOpen,
    /// The node.
    #[error(transparent)]
    Invoice(#[from] InvoiceError),
    /// The node.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The settings make no token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// No randomness.
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
}

/// See the [module documentation](super).
pub struct Gate {
    settings: GateSettings,
    till: Arc<dyn Till>,
    clock: Arc<Clock>,
    keys: Mutex<KeyFile>,
    uses: Arc<Mutex<UseLog>>,
    open: Mutex<OpenInvoices>,
    settled: Mutex<Settled>,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gate({})", self.settings.service)
    }
}

/// Payments that are known to be settled; the oldest is forgotten first.
#[derive(Debug, Default)]
struct Settled {
    known: BTreeSet<PaymentHash>,
    order: VecDeque<PaymentHash>,
}

impl Settled {
    fn add(&mut self, payment_hash: PaymentHash, max: usize) {
        if self.known.insert(payment_hash) {
            self.order.push_back(payment_hash);
        }
        while self.order.len() > max {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }
}

/// A panic elsewhere cannot leave these half changed: nothing in them waits.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gate {
    /// A gate with its keys and its log of uses.
    pub fn new(
        settings: GateSettings,
        till: impl Till + 'static,
        keys: KeyFile,
        uses: UseLog,
        clock: impl Fn() -> TimeMs + Send + Sync + 'static,
    ) -> Gate {
        Gate {
            settings,
            till: Arc::new(till),
            clock: Arc::new(clock),
            keys: Mutex::new(keys),
            uses: Arc::new(Mutex::new(uses)),
            open: Mutex::default(),
            settled: Mutex::default(),
        }
    }

    /// Its settings.
    pub fn settings(&self) -> &GateSettings {
        &self.settings
    }

    /// Signs with a new root key if the present one has signed for long enough; says whether it does.
    pub fn rotate_when_due(&self) -> Result<bool, KeyFileError> {
        let (now, mut keys) = ((self.clock)(), lock(&self.keys));
        if now.since(keys.keys().since()) < self.settings.rotate_every_ms {
            return Ok(false);
        }
        keys.rotate(now, self.settings.token_max_ms).map(|()| true)
    }

    /// Something to pay for: the invoice that this client was given for the same before, while it can be paid, or a new one.
    pub async fn challenge(&self, client: &str, product: &Product) -> Result<Challenge, NoChallenge> {
        let now = (self.clock)();
        let slot = Slot {
            client: client.to_owned(),
            capability: product.capability.clone(),
            path: product.path.clone(),
            price: product.price,
        };
        // Whoever gets it has time to pay it.
        let needed_until = now.plus(self.settings.invoice_lifetime_ms / 2);
        loop {
            let place = lock(&self.open).ask(&slot, self.settings.open, now, needed_until);
            match place {
                Place::None => return Err(NoChallenge::TooManyOpen),
                Place::Taken(open) => match self.till.state(open.payment_hash).await? {
                    Some(InvoiceState::Open) => return Ok(open.challenge),
                    // Somebody has paid it: it is no use to anybody else.
                    Some(_) | None => lock(&self.open).free(&slot),
                },
                Place::Yours => {
                    let sold = self.sell(product, now).await;
                    let mut invoices = lock(&self.open);
                    match &sold {
                        Ok(open) => invoices.fill(&slot, open.clone()),
                        Err(_) => invoices.free(&slot),
                    }
                    return sold.map(|open| open.challenge);
                }
            }
        }
    }

    async fn sell(&self, product: &Product, now: TimeMs) -> Result<Open, NoChallenge> {
        let request = InvoiceRequest {
            amount: product.price,
            description: product.about.clone(),
            expires_in_ms: self.settings.invoice_lifetime_ms,
        };
        let invoice = self.till.invoice(request).await?;
        let token = self.token_for(invoice.payment_hash, product, now)?;
        let challenge = Challenge { token: token.to_base64(), invoice: invoice.bolt11 };
        Ok(Open { challenge, payment_hash: invoice.payment_hash, expires_at: invoice.expires_at })
    }

    /// The token that a payment with this hash makes good. Whoever chose the hash, it is good once the node has an invoice on
    /// it that is settled.
    pub fn token_for(&self, hash: PaymentHash, product: &Product, now: TimeMs) -> Result<Token, NoChallenge> {
        let service = &self.settings.service;
        let mut limits = vec![Limit::Capabilities(BTreeSet::from([product.capability.clone()]))];
        limits.extend(product.path.clone().map(Limit::Path));
        limits.push(Limit::ValidUntil(self.seconds_after(now, product.lasts_ms)));
        limits.extend(product.max_uses.map(Limit::MaxUses));
        self.mint(hash, limits.into_iter().map(|limit| limit.of(service)))
    }

    /// A token that nobody has to pay for: it says what its holder may read about a lease, until when.
    pub fn grant(
        &self,
        lease: LeaseId,
        capabilities: BTreeSet<String>,
        lasts_ms: u64,
    ) -> Result<Token, NoChallenge> {
        let until_s = self.seconds_after((self.clock)(), lasts_ms);
        let limits = [Limit::Lease(lease), Limit::Capabilities(capabilities), Limit::ValidUntil(until_s)];
        let service = &self.settings.service;
        self.mint(Identifier::NO_PAYMENT, limits.into_iter().map(|limit| limit.of(service)))
    }

    fn seconds_after(&self, now: TimeMs, lasts_ms: u64) -> u64 {
        now.plus(lasts_ms.min(self.settings.token_max_ms)).0 / 1_000
    }

    fn mint(&self, hash: PaymentHash, limits: impl Iterator<Item = Caveat>) -> Result<Token, NoChallenge> {
        let mut id = [0; 32];
        getrandom::fill(&mut id).map_err(NoChallenge::Random)?;
        let identifier = Identifier { payment_hash: hash, token: TokenId(id) };
        let service = Service { name: self.settings.service.clone(), tier: 0 };
        let caveats: Vec<Caveat> = std::iter::once(Caveat::Services(vec![service])).chain(limits).collect();
        let keys = lock(&self.keys);
        Ok(Token::mint(keys.keys().current(), &self.settings.location, identifier, &caveats)?)
    }

    /// Whether a token that was bought is good for a request. Counts nothing: see [`Gate::spend`].
    pub async fn admit_paid(&self, credential: &Credential, need: &Need<'_>) -> Result<Rights, Refused> {
        let rights = self.rights(&credential.token)?;
        if credential.token.identifier().is_unpaid() {
            return Err(Refused::Kind("given, not bought,"));
        }
        check(&rights, need)?;
        if !credential.is_opened() {
            return Err(Refused::Preimage);
        }
        self.check_settled(credential.token.identifier().payment_hash).await?;
        Ok(rights)
    }

    /// Whether a token that was given ([`Gate::grant`]), or one narrowed from it, is good for a request about its lease.
    pub fn admit_given(&self, token: &Token, need: &Need<'_>) -> Result<Rights, Refused> {
        let rights = self.rights(token)?;
        if !token.identifier().is_unpaid() {
            return Err(Refused::Kind("bought"));
        }
        check(&rights, need)?;
        if rights.lease.is_none() || rights.lease != need.lease {
            return Err(Refused::Lease);
        }
        Ok(rights)
    }

    /// What a token of this gate is good for, paid or not, used up or not.
    pub fn rights(&self, token: &Token) -> Result<Rights, Refused> {
        let now = (self.clock)();
        if !lock(&self.keys).keys().signed(token, now) {
            return Err(Refused::Signature);
        }
        let rights = token.rights(&self.settings.service)?;
        // Every token was sold or given for a time; one that says none was signed for something else.
        match rights.valid_until_s {
            Some(until_s) if now.0 / 1_000 <= until_s => Ok(rights),
            Some(_) | None => Err(Refused::Expired),
        }
    }

    async fn check_settled(&self, payment_hash: PaymentHash) -> Result<(), Refused> {
        if lock(&self.settled).known.contains(&payment_hash) {
            return Ok(());
        }
        match self.till.state(payment_hash).await? {
            Some(InvoiceState::Paid { .. }) => {
                lock(&self.settled).add(payment_hash, self.settings.settled_max);
                lock(&self.open).settled(&payment_hash);
                Ok(())
            }
            Some(
                InvoiceState::Open
                | InvoiceState::Held { .. }
                | InvoiceState::Cancelled
                | InvoiceState::Expired,
            )
            | None => Err(Refused::NotSettled),
        }
    }

    /// Counts a use of a token, where its uses are limited. On disk when this returns.
    pub async fn spend(&self, rights: &Rights) -> Result<(), Refused> {
        if rights.uses.is_empty() {
            return Ok(());
        }
        let until = TimeMs(rights.valid_until_s.unwrap_or(0).saturating_add(1).saturating_mul(1_000));
        let (uses, limits, now) = (self.uses.clone(), rights.uses.clone(), (self.clock)());
        // It waits for the disk.
        let spent = tokio::task::spawn_blocking(move || lock(&uses).spend(&limits, until, now)).await;
        Ok(spent.map_err(|error| SpendError::Io(std::io::Error::other(error)))??)
    }
}

fn check(rights: &Rights, need: &Need<'_>) -> Result<(), Refused> {
    if !rights.allows(need.capability) {
        return Err(Refused::Capability(need.capability.to_owned()));
    }
    if let Some(path) = rights.path.as_ref().filter(|path| *path != need.path) {
        return Err(Refused::Path(path.clone()));
    }
    if rights.lease.is_some_and(|lease| Some(lease) != need.lease) {
        return Err(Refused::Lease);
    }
    Ok(())
}
