/*
 * Credentials from the services beside a machine: container endpoints (ECS, EKS) and EC2's instance
 * metadata, version 2 only.
 *
 * Source: "IAM roles for tasks", "Use the Instance Metadata Service" (session token by PUT).
 */
#ifndef NERO_S3_METADATA_H
#define NERO_S3_METADATA_H

#include "s3_http.h"
#include "s3_profile.h"

/*
 * A credentials document: {"AccessKeyId", "SecretAccessKey", "Token", "Expiration"}, and "Code"
 * where it is there has to be "Success". Errors: corrupt, denied (another Code).
 */
enum nero_status s3_metadata_parse(struct bytes_view json, struct s3_credentials *out,
                                   struct nero_err *err);

/* GET `url` with the Authorization `token` (may be NULL). Errors: as s3_http_send, denied. */
enum nero_status s3_metadata_container(struct s3_http *http, const char *url, const char *token,
                                       struct s3_credentials *out, struct nero_err *err);

/* Token, role, document from `base` ("http://169.254.169.254"). Errors: likewise. */
enum nero_status s3_metadata_instance(struct s3_http *http, const char *base,
                                      struct s3_credentials *out, struct nero_err *err);

/*
 * Whether a container URI may be asked: https, or http to this machine or to the fixed addresses of
 * ECS and EKS. Anything else would hand the authorization token to a stranger.
 */
bool s3_metadata_uri_is_allowed(const char *uri);

#endif
