#include "protocol/tls/channel.h"

#include <algorithm>
#include <array>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "protocol/assert.h"
#include "protocol/crypto/raw.h"
#include "protocol/tls/context.h"
#include "protocol/tls/peer_name.h"
#include "protocol/tls/verdict.h"

namespace valkyrie::protocol::tls {
namespace {

constexpr std::size_t kRecordBytesMax = SSL3_RT_MAX_PLAIN_LENGTH;
// Header, type and tag.
constexpr std::size_t kRecordOverhead = SSL3_RT_HEADER_LENGTH + 1 + 16;

// The library's word for "nothing now".
bool wants_bytes(const SSL* ssl, int result) {
  return SSL_get_error(ssl, result) == SSL_ERROR_WANT_READ;
}

}  // namespace

// The socket that the library believes to have.
class Channel::Wire {
 public:
  static bssl::UniquePtr<BIO> to(Channel& channel) {
    bssl::UniquePtr<BIO> bio(BIO_new(method()));
    VALKYRIE_ASSERT(bio != nullptr);
    BIO_set_data(bio.get(), &channel);
    BIO_set_init(bio.get(), 1);
    return bio;
  }

 private:
  static const BIO_METHOD* method() {
    static const BIO_METHOD* const made = [] {
      BIO_METHOD* const fresh = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "wire");
      VALKYRIE_ASSERT(fresh != nullptr);
      BIO_meth_set_read(fresh, read);
      BIO_meth_set_write(fresh, write);
      BIO_meth_set_ctrl(fresh, control);
      return fresh;
    }();
    return made;
  }
  static Channel& of(BIO* bio) { return *static_cast<Channel*>(BIO_get_data(bio)); }

  static int read(BIO* bio, char* out, int size) {
    std::span<const std::byte>& input = of(bio).input_;
    BIO_clear_retry_flags(bio);
    if (input.empty()) {
      BIO_set_retry_read(bio);
      return -1;
    }
    const std::size_t count = std::min(static_cast<std::size_t>(size), input.size());
    // std::ranges::copy would go byte by byte: GCC 12 does not see that it may copy memory.
    std::copy_n(input.data(), count, reinterpret_cast<std::byte*>(out));
    input = input.subspan(count);
    return static_cast<int>(count);
  }
  static int write(BIO* bio, const char* in, int size) {
    std::vector<std::byte>& sink = *of(bio).sink_;
    const std::span bytes = std::as_bytes(std::span(in, static_cast<std::size_t>(size)));
    sink.insert(sink.end(), bytes.begin(), bytes.end());
    return size;
  }
  static long control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }
};

void Channel::Free::operator()(ssl_st* ssl) const { SSL_free(ssl); }

Channel::Channel(std::shared_ptr<const Context> context)
    : context_(std::move(context)), keeper_(nullptr), ssl_(context_->connection({}).release()) {
  begin();
}

Channel::Channel(std::shared_ptr<const Context> context, std::string_view server,
                 ssl_session_st* session, SessionKeeper& keeper)
    : context_(std::move(context)), keeper_(&keeper), ssl_(context_->connection(server).release()) {
  begin();
  SSL_set_app_data(ssl_.get(), this);
  if (session != nullptr) SSL_set_session(ssl_.get(), session);
  const auto begun = shake_hands();  // Nothing is received yet: there is nothing to fail.
  VALKYRIE_ASSERT(begun.has_value());
}

Channel::~Channel() = default;

void Channel::begin() {
  BIO* const wire = Wire::to(*this).release();
  SSL_set_bio(ssl_.get(), wire, wire);
}

std::expected<void, ChannelError> Channel::receive(std::span<std::byte> bytes, PlainSink& sink) {
  VALKYRIE_ASSERT(state_ != State::failed);
  input_ = bytes;
  ERR_clear_error();
  if (state_ == State::handshake) {
    if (auto shaken = shake_hands(); !shaken || state_ == State::handshake) return shaken;
  }
  return read_records(bytes, sink);
}

std::expected<void, ChannelError> Channel::shake_hands() {
  const int done = SSL_do_handshake(ssl_.get());
  if (done == 1) return become_open();
  if (wants_bytes(ssl_.get(), done)) return {};
  return fail(reason());
}

// The library has checked the peer's certificate, unless a session went on.
std::expected<void, ChannelError> Channel::become_open() {
  const std::uint8_t* protocol = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl_.get(), &protocol, &size);
  if (std::string_view(reinterpret_cast<const char*>(protocol), size) != kProtocol) {
    SSL_send_fatal_alert(ssl_.get(), SSL_AD_NO_APPLICATION_PROTOCOL);
    return fail(ChannelError::other_protocol);
  }
  if (SSL_session_reused(ssl_.get()) != 0) {
    if (const auto good = context_->check_again(*ssl_); !good) {
      SSL_send_fatal_alert(ssl_.get(), SSL_AD_CERTIFICATE_UNKNOWN);
      return fail(good.error());
    }
  }
  const STACK_OF(CRYPTO_BUFFER)* const chain = SSL_get0_peer_certificates(ssl_.get());
  if (chain != nullptr && sk_CRYPTO_BUFFER_num(chain) > 0) {
    const CRYPTO_BUFFER* const leaf = sk_CRYPTO_BUFFER_value(chain, 0);
    auto name =
        peer_name(std::as_bytes(std::span(CRYPTO_BUFFER_data(leaf), CRYPTO_BUFFER_len(leaf))));
    if (!name) {
      SSL_send_fatal_alert(ssl_.get(), SSL_AD_BAD_CERTIFICATE);
      return fail(ChannelError::wrong_name);
    }
    name_ = std::move(*name);
  }
  state_ = State::records;
  return {};
}

// The text is put where records have been read from: there is room, as each was longer than its
// text. Only one that began in what was received before may be too long for what there is.
std::expected<void, ChannelError> Channel::read_records(std::span<std::byte> bytes,
                                                        PlainSink& sink) {
  std::array<std::byte, kRecordBytesMax>
      apart;  // Not initialised: it is written before it is read.
  std::size_t used = 0;
  while (!ended_) {
    std::byte first{};
    const int seen = SSL_peek(ssl_.get(), &first, 1);
    if (seen <= 0) {
      if (SSL_get_error(ssl_.get(), seen) == SSL_ERROR_ZERO_RETURN) {
        ended_ = true;
        break;
      }
      if (wants_bytes(ssl_.get(), seen)) break;
      return fail(reason());
    }
    const auto size = static_cast<std::size_t>(SSL_pending(ssl_.get()));
    const std::span<std::byte> spent = bytes.first(bytes.size() - input_.size()).subspan(used);
    const bool fits = spent.size() >= size;
    const std::span<std::byte> text = (fits ? spent : std::span(apart)).first(size);
    const int read = SSL_read(ssl_.get(), text.data(), static_cast<int>(size));
    VALKYRIE_ASSERT(read == static_cast<int>(size));
    if (fits) used += size;
    sink.on_plain(text);
  }
  input_ = {};
  return {};
}

std::expected<void, ChannelError> Channel::seal(std::span<const std::span<const std::byte>> text,
                                                std::vector<std::byte>& out) {
  VALKYRIE_ASSERT(open());
  std::array<std::byte, kRecordBytesMax> joined;  // Not initialised: as above.
  std::size_t size = 0;
  std::size_t total = 0;
  for (const auto piece : text) total += piece.size();
  const std::size_t needed = out.size() + total + (total / kRecordBytesMax + 1) * kRecordOverhead;
  if (needed > out.capacity()) out.reserve(std::max(needed, 2 * out.capacity()));
  sink_ = &out;
  std::expected<void, ChannelError> done;
  for (std::span<const std::byte> piece : text) {
    while (!piece.empty() && done) {
      if (size == 0 && piece.size() >= kRecordBytesMax) {
        done = seal_record(piece.first(kRecordBytesMax));
        piece = piece.subspan(kRecordBytesMax);
        continue;
      }
      const std::size_t part = std::min(piece.size(), kRecordBytesMax - size);
      std::copy_n(piece.data(), part, joined.data() + size);
      piece = piece.subspan(part);
      size += part;
      if (size < kRecordBytesMax) continue;
      done = seal_record(joined);
      size = 0;
    }
  }
  if (size > 0 && done) done = seal_record(std::span(joined).first(size));
  sink_ = &output_;
  return done;
}

std::expected<void, ChannelError> Channel::seal_record(std::span<const std::byte> text) {
  ERR_clear_error();
  const int size = static_cast<int>(text.size());
  if (SSL_write(ssl_.get(), text.data(), size) != size) return fail(reason());
  if (++sealed_ % kRekeyRecords == 0) {
    SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_NOT_REQUESTED);
  }
  return {};
}

std::unexpected<ChannelError> Channel::fail(ChannelError error) {
  state_ = State::failed;
  input_ = {};
  ERR_clear_error();
  return std::unexpected(error);
}

// Why the library gave up. Of its errors the first about TLS is the cause: what other parts say
// before it is why, in their own terms, and what follows came of it.
ChannelError Channel::reason() const {
  std::uint32_t packed = ERR_get_error();
  while (packed != 0 && ERR_GET_LIB(packed) != ERR_LIB_SSL) packed = ERR_get_error();
  const int code = ERR_GET_REASON(packed);
  if (code == SSL_R_CERTIFICATE_VERIFY_FAILED) {
    return error_of_certificate(static_cast<int>(SSL_get_verify_result(ssl_.get())));
  }
  if (code == SSL_R_NO_SHARED_GROUP) {
    return context_->require_pq() ? ChannelError::pq_required : ChannelError::no_common_suite;
  }
  return error_of_connection(code);
}

bool Channel::hybrid() const { return SSL_get_group_id(ssl_.get()) == SSL_GROUP_X25519_MLKEM768; }

bool Channel::resumed() const { return SSL_session_reused(ssl_.get()) != 0; }

void Channel::on_session(ssl_session_st* session) { keeper_->keep(session); }

}  // namespace valkyrie::protocol::tls
