#include "protocol/tls/verdict.h"

#include <openssl/ssl.h>

#include <openssl/x509.h>

namespace valkyrie::protocol::tls {
namespace {

// What the peer says, as an alert, of us.
ChannelError error_of_alert(int alert) {
  switch (alert) {
    case SSL_AD_CERTIFICATE_EXPIRED:
      return ChannelError::expired;
    case SSL_AD_CERTIFICATE_REVOKED:
      return ChannelError::revoked;
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
      return ChannelError::wrong_purpose;
    case SSL_AD_UNKNOWN_CA:
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_ACCESS_DENIED:
      return ChannelError::untrusted;
    case SSL_AD_CERTIFICATE_REQUIRED:
      return ChannelError::no_certificate;
    case SSL_AD_NO_APPLICATION_PROTOCOL:
      return ChannelError::other_protocol;
    case SSL_AD_BAD_RECORD_MAC:
    case SSL_AD_DECRYPT_ERROR:
      return ChannelError::not_authentic;
    default:
      return ChannelError::handshake_failed;
  }
}

}  // namespace

ChannelError error_of_certificate(int result) {
  switch (result) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return ChannelError::expired;
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return ChannelError::not_yet_valid;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return ChannelError::wrong_name;
    case X509_V_ERR_CERT_REVOKED:
      return ChannelError::revoked;
    case X509_V_ERR_UNABLE_TO_GET_CRL:
    case X509_V_ERR_CRL_NOT_YET_VALID:
    case X509_V_ERR_CRL_HAS_EXPIRED:
    case X509_V_ERR_CRL_SIGNATURE_FAILURE:
      return ChannelError::revocation_unknown;
    case X509_V_ERR_INVALID_PURPOSE:
    case X509_V_ERR_INVALID_CA:
      return ChannelError::wrong_purpose;
    default:
      return ChannelError::untrusted;
  }
}

ChannelError error_of_connection(int reason) {
  if (reason >= SSL_AD_REASON_OFFSET) return error_of_alert(reason - SSL_AD_REASON_OFFSET);
  switch (reason) {
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
      return ChannelError::no_certificate;
    case SSL_R_NO_APPLICATION_PROTOCOL:
    case SSL_R_INVALID_ALPN_PROTOCOL:
      return ChannelError::other_protocol;
    case SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC:
    case SSL_R_DIGEST_CHECK_FAILED:
    case SSL_R_BAD_SIGNATURE:
      return ChannelError::not_authentic;
    case SSL_R_ENCRYPTED_LENGTH_TOO_LONG:
    case SSL_R_DATA_LENGTH_TOO_LONG:
    case SSL_R_EXCESSIVE_MESSAGE_SIZE:
    case SSL_R_BAD_PACKET_LENGTH:
      return ChannelError::bad_length;
    default:
      return ChannelError::handshake_failed;
  }
}

}  // namespace valkyrie::protocol::tls
