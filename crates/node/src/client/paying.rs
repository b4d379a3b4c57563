//! Paying for requests that cost something (402), under a limit.
//!
//! A server that wants money is believed nothing but its invoice: what that asks for is compared with the limit, its payment
//! with the token's, and its address with the one that was asked. Then the token is stored, then that it is about to be paid,
//! then it is paid. The token is kept and sent again until the server wants another.

use super::{
    ClientError, Market, innermost, local_now_ms,
    token_jar::{StoredToken, TokenJar, TokenPhase},
};
use market::{
    id::PaymentHash,
    units::{Msat, TimeMs},
};
use pay::{
    FailureReason, LightningNode, PayError, PayRequest, PaymentState, Preimage, Unavailable,
    l402::{Challenge, Token},
};
use reqwest::{Request, Response, StatusCode, Url, header};
use std::{io, sync::Arc, time::Duration};
use tokio::sync::Mutex;

/// How long a payment that is on its way is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// What routing may cost beside the price: a hundredth, or this, if the limit leaves room.
const FEE_FLOOR: Msat = Msat(5_000);

/// Pays for requests. One limit for all that it pays.
pub struct Payer {
    limit: Msat,
    jar: TokenJar,
    wallet: Wallet,
    /// What was spent so far. Held while something is being paid, so that nothing is paid twice.
    spent: Mutex<Msat>,
}

/// What a payer pays with.
#[derive(Clone)]
pub enum Wallet {
    /// Nothing: it says which invoice is to be paid, and leaves that to others.
    None,
    /// A node.
    Node(Arc<dyn LightningNode>),
    /// The faucet of this market, if it is one of play money.
    PlayMoney(Market),
}

impl std::fmt::Debug for Payer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Payer(up to {})", self.limit)
    }
}

/// Why a request that costs something was not paid for.
#[derive(Debug, thiserror::Error)]
pub enum PayingError {
    /// Too dear.
    #[error("{url} costs {price}, and {left} may be spent: allow more with --max-pay if it is worth that")]
    Price {
        /// Where.
        url: String,
        /// What it costs.
        price: Msat,
        /// What is left of the limit.
        left: Msat,
    },
    /// Nothing to pay with.
    #[error(
        "{url} costs {price} and there is no wallet here: pay this invoice from yours, give the preimage that it shows to \
         `grist token paid PREIMAGE`, and run this again\n{invoice}"
    )]
    NoWallet {
        /// Where.
        url: String,
        /// What it costs.
        price: Msat,
        /// What to pay.
        invoice: String,
    },
    /// A challenge that nobody should pay.
    #[error("{url} wants money, but not as it should ({why}): nothing was paid")]
    BadChallenge {
        /// Where.
        url: String,
        /// What is wrong.
        why: String,
    },
    /// An earlier payment.
    #[error(
        "a payment for {url} is on its way ({payment_hash}) and may still arrive: nothing else is paid in its place; run this \
         again later"
    )]
    Undecided {
        /// Where.
        url: String,
        /// Which payment.
        payment_hash: PaymentHash,
    },
    /// It failed, and nothing is lost.
    #[error("the payment for {url} failed ({reason}); nothing was spent")]
    Failed {
        /// Where.
        url: String,
        /// Why.
        reason: FailureReason,
    },
    /// It was not taken on.
    #[error("the payment for {url} was not made: {source}")]
    NotPaid {
        /// Where.
        url: String,
        /// Why.
        source: PayError,
    },
    /// It was paid for nothing.
    #[error("{url} was paid for, and the token is still refused; it is kept in {folder}")]
    NotAccepted {
        /// Where.
        url: String,
        /// Where the token is.
        folder: String,
    },
    /// The jar.
    #[error("the tokens in {folder} cannot be kept ({source}): nothing was paid")]
    Jar {
        /// Where they are.
        folder: String,
        /// What the system said.
        source: io::Error,
    },
    /// The request.
    #[error("{url} does not answer: {reason}")]
    Unreachable {
        /// Where.
        url: String,
        /// What went wrong on the way.
        reason: String,
    },
}

impl Payer {
    /// Pays at most `limit` altogether, routing included; with nothing it says what things cost.
    pub fn new(limit: Msat, jar: TokenJar, wallet: Wallet) -> Payer {
        Payer { limit, jar, wallet, spent: Mutex::new(Msat::ZERO) }
    }

    /// What it has spent, routing included.
    pub async fn spent(&self) -> Msat {
        *self.spent.lock().await
    }

    /// Sends a request, with the token for its address if there is one; pays if it has to, and sends it again.
    pub async fn send(&self, http: &reqwest::Client, request: Request) -> Result<Response, PayingError> {
        let url = address(request.url());
        let again = request.try_clone();
        let known = self.jar.get(&url).map_err(|e| self.jar_failed(e))?;
        let known = known.and_then(|stored| stored.authorization());
        let mut response = execute(http, request, known.as_deref()).await?;
        // What cost something may be free by now, for those who say who they are.
        if response.status() == StatusCode::UNAUTHORIZED
            && known.is_some()
            && let Some(plain) = again.as_ref().and_then(Request::try_clone)
        {
            response = execute(http, plain, None).await?;
        }
        // A body that is gone cannot be sent again.
        let Some(again) = again.filter(|_| response.status() == StatusCode::PAYMENT_REQUIRED) else {
            return Ok(response);
        };
        // A 402 that asks for nothing is an answer like another: too little money at a market.
        let headers = response.headers().get_all(header::WWW_AUTHENTICATE);
        let Some(challenge) = headers.iter().find_map(|value| Challenge::parse(value.to_str().ok()?)) else {
            return Ok(response);
        };
        if response.url().origin() != again.url().origin() {
            let why = format!("it sent us on to {}", response.url());
            return Err(PayingError::BadChallenge { url, why });
        }
        let token = self.buy(&url, &challenge, known.as_deref()).await?;
        let response = execute(http, again, Some(&token)).await?;
        if response.status() == StatusCode::PAYMENT_REQUIRED {
            return Err(PayingError::NotAccepted { url, folder: self.jar.folder().display().to_string() });
        }
        Ok(response)
    }

    /// Gets a good token for an address, in place of one that is none any more.
    async fn buy(
        &self,
        url: &str,
        challenge: &Challenge,
        refused: Option<&str>,
    ) -> Result<String, PayingError> {
        let mut spent = self.spent.lock().await;
        // Another process may be paying for the same.
        let jar = self.jar.clone();
        let locked = tokio::task::spawn_blocking(move || jar.lock()).await.map_err(io::Error::other);
        let _locked = locked.flatten().map_err(|e| self.jar_failed(e))?;
        let mut offered = None;
        if let Some(stored) = self.jar.get(url).map_err(|e| self.jar_failed(e))? {
            match &stored.phase {
                TokenPhase::Paid { .. } => {
                    let ready = stored.authorization().filter(|ready| Some(ready.as_str()) != refused);
                    if let Some(ready) = ready {
                        return Ok(ready);
                    }
                }
                // Asking again for the same invoice pays nothing twice, and says what became of it.
                TokenPhase::Paying => match self.resumed(stored, &mut spent).await {
                    Err(PayingError::Failed { .. } | PayingError::NotPaid { .. }) => {}
                    other => return other,
                },
                TokenPhase::Offered => offered = Some(stored),
            }
        }
        let stored = self.weighed(url, challenge, *spent)?;
        match self.wallet {
            Wallet::None => self.refuse(offered, stored),
            Wallet::PlayMoney(ref market) if !has_faucet(market).await => self.refuse(offered, stored),
            Wallet::Node(_) | Wallet::PlayMoney(_) => {
                self.put(&StoredToken { phase: TokenPhase::Offered, ..stored.clone() })?;
                self.pay(stored, &mut spent).await
            }
        }
    }

    /// Keeps the offer for whoever pays it elsewhere; an earlier one that can still be paid, because that may be happening.
    fn refuse(&self, offered: Option<StoredToken>, new: StoredToken) -> Result<String, PayingError> {
        let is_payable = |token: &StoredToken| {
            pay::bolt11::decode(&token.invoice).is_ok_and(|invoice| invoice.expires_at > new.at_ms)
        };
        let kept = match offered.filter(is_payable) {
            Some(earlier) => earlier,
            None => StoredToken { phase: TokenPhase::Offered, ..new },
        };
        self.put(&kept)?;
        Err(PayingError::NoWallet { url: kept.url, price: kept.price_msat, invoice: kept.invoice })
    }

    /// Reads a challenge, and decides whether it may be paid.
    fn weighed(&self, url: &str, challenge: &Challenge, spent: Msat) -> Result<StoredToken, PayingError> {
        let bad = |why: String| PayingError::BadChallenge { url: url.to_owned(), why };
        let invoice = pay::bolt11::decode(&challenge.invoice).map_err(|e| bad(e.to_string()))?;
        let price = invoice.amount.filter(|amount| *amount > Msat::ZERO);
        let price = price.ok_or_else(|| bad("its invoice names no amount".to_owned()))?;
        let left = self.limit.saturating_sub(spent);
        if price > left {
            return Err(PayingError::Price { url: url.to_owned(), price, left });
        }
        let now = TimeMs(local_now_ms());
        if invoice.expires_at <= now {
            return Err(bad("its invoice has expired; is this computer's clock right?".to_owned()));
        }
        // Others make other tokens. One that names a payment has to name this one.
        if let Ok(token) = Token::from_base64(&challenge.token)
            && token.identifier().payment_hash != invoice.payment_hash
        {
            return Err(bad("its token is for another payment than its invoice".to_owned()));
        }
        Ok(StoredToken {
            url: url.to_owned(),
            token: challenge.token.clone(),
            invoice: challenge.invoice.clone(),
            payment_hash: invoice.payment_hash,
            price_msat: price,
            at_ms: now,
            phase: TokenPhase::Paying,
        })
    }

    /// Goes on with a payment of an earlier run. It may not have been made, so it has to be allowed now as well.
    async fn resumed(&self, stored: StoredToken, spent: &mut Msat) -> Result<String, PayingError> {
        let left = self.limit.saturating_sub(*spent);
        if stored.price_msat > left {
            return Err(PayingError::Price { url: stored.url, price: stored.price_msat, left });
        }
        self.pay(stored, spent).await
    }

    /// Pays a token's invoice, or finds out that it is paid.
    async fn pay(&self, stored: StoredToken, spent: &mut Msat) -> Result<String, PayingError> {
        let paying = StoredToken { phase: TokenPhase::Paying, ..stored };
        self.put(&paying)?;
        let left = self.limit.saturating_sub(*spent).saturating_sub(paying.price_msat);
        let request = PayRequest {
            bolt11: paying.invoice.clone(),
            amount: paying.price_msat,
            max_fee: Msat(paying.price_msat.0 / 100).max(FEE_FLOOR).min(left),
        };
        let url = || paying.url.clone();
        let undecided = || PayingError::Undecided { url: url(), payment_hash: paying.payment_hash };
        match self.wallet.pay(request, paying.payment_hash).await {
            Ok(PaymentState::Succeeded { preimage, fee }) => {
                if preimage.payment_hash() != paying.payment_hash {
                    return Err(undecided());
                }
                *spent = spent.plus(paying.price_msat).and_then(|sum| sum.plus(fee)).unwrap_or(Msat::MAX);
                let paid = StoredToken { phase: TokenPhase::Paid { preimage }, ..paying };
                self.put(&paid)?;
                paid.authorization()
                    .ok_or_else(|| PayingError::BadChallenge { url: paid.url, why: String::new() })
            }
            Ok(PaymentState::InFlight | PaymentState::Unknown) | Err(PayError::Unavailable(_)) => {
                Err(undecided())
            }
            Ok(PaymentState::Failed { reason }) => {
                self.jar.remove(&paying.url).map_err(|e| self.jar_failed(e))?;
                Err(PayingError::Failed { url: url(), reason })
            }
            Err(source) => {
                self.jar.remove(&paying.url).map_err(|e| self.jar_failed(e))?;
                Err(PayingError::NotPaid { url: url(), source })
            }
        }
    }

    fn put(&self, token: &StoredToken) -> Result<(), PayingError> {
        self.jar.put(token).map_err(|e| self.jar_failed(e))
    }

    fn jar_failed(&self, source: io::Error) -> PayingError {
        PayingError::Jar { folder: self.jar.folder().display().to_string(), source }
    }
}

impl Wallet {
    /// Pays an invoice at most once, and waits for what becomes of it.
    async fn pay(&self, request: PayRequest, payment_hash: PaymentHash) -> Result<PaymentState, PayError> {
        let ask = async || match self {
            Wallet::None => Err(Unavailable("there is no wallet".to_owned()).into()),
            Wallet::Node(node) => match node.payment(payment_hash).await? {
                None | Some(PaymentState::Failed { .. }) => node.pay(request.clone()).await,
                Some(state) => Ok(state),
            },
            Wallet::PlayMoney(market) => play(market, &request.bolt11).await,
        };
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            match ask().await {
                Ok(PaymentState::InFlight | PaymentState::Unknown) if tokio::time::Instant::now() < until => {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                other => return other,
            }
        }
    }
}

/// Pays out of a market's play money. The faucet pays the fee.
async fn play(market: &Market, bolt11: &str) -> Result<PaymentState, PayError> {
    match market.dev_pay(bolt11).await {
        Ok(paid) => Ok(match paid.preimage {
            Some(preimage) => PaymentState::Succeeded { preimage, fee: Msat::ZERO },
            None => PaymentState::InFlight,
        }),
        Err(ClientError::Refused { status: 422, .. }) => {
            Ok(PaymentState::Failed { reason: FailureReason::NoRoute })
        }
        Err(error) => Err(Unavailable(error.to_string()).into()),
    }
}

async fn has_faucet(market: &Market) -> bool {
    market.info().await.is_ok_and(|info| info.has_faucet)
}

/// Notes that somebody paid an invoice elsewhere; `None` when no stored token is for it.
pub fn paid_elsewhere(jar: &TokenJar, preimage: Preimage) -> io::Result<Option<StoredToken>> {
    let hash = preimage.payment_hash();
    let found = jar.all()?.into_iter().find(|token| token.payment_hash == hash);
    let Some(token) = found else { return Ok(None) };
    let paid = StoredToken { phase: TokenPhase::Paid { preimage }, ..token };
    jar.put(&paid)?;
    Ok(Some(paid))
}

/// An address without its query: what a token is kept for.
fn address(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

async fn execute(
    http: &reqwest::Client,
    mut request: Request,
    authorization: Option<&str>,
) -> Result<Response, PayingError> {
    let url = address(request.url());
    if let Some(value) = authorization {
        let mut value = header::HeaderValue::from_str(value)
            .map_err(|e| PayingError::BadChallenge { url: url.clone(), why: e.to_string() })?;
        value.set_sensitive(true);
        request.headers_mut().insert(header::AUTHORIZATION, value);
    }
    http.execute(request).await.map_err(|e| PayingError::Unreachable { url, reason: innermost(&e) })
}
