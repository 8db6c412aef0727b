#!/usr/bin/env bash
# Goal: any tool that speaks S3 lists and reads a store as we do. Method: a real run on with_rgw's
# gateway, and an object that is uploaded in parts; our own reads (copy_store) into a folder, which is
# a store that audits clean; then the AWS command line, rclone and boto3, each where it is installed,
# list and fetch the same names and bytes. All names, also those that we would not list ourselves,
# are of [A-Za-z0-9._/-].
# A machine without any of these tools shows nothing: then the test is skipped, which tests/skips.txt
# does not allow (scripts/setup --dev installs all three).
#   with_rgw readers.sh SOURCE_DIR BINARY_DIR
set -euo pipefail
source=$1
# shellcheck source=tests/e2e/world.sh
. "$source/tests/e2e/world.sh" "$2"
export PATH=$2:$2/tests/e2e:/usr/bin:$PATH # /usr/bin: Debian's tools, whatever else is there
bucket=readers
mkdir -p "$work/large/parts"
head -c 40000000 /dev/urandom >"$work/large/parts/40-MB"

nero-sched run "$source/presets/smoke.yaml" --name read --runners 1 --store s3://$bucket/store \
  >"$work/run.out" 2>&1 || fail "the run"
copy_store "file://$work/large" s3://$bucket/store >"$work/large.out" || fail "put in parts"
copy_store s3://$bucket/store "file://$work/ours" >"$work/ours.out" || fail "our own reads"
rm -r "$work/ours/~nero"
cmp "$work/large/parts/40-MB" "$work/ours/parts/40-MB" || fail "what was put in parts"
(cd "$work/ours" && find . -type f -printf 'store/%P\n' | LC_ALL=C sort) >"$work/names"
nero-sched audit "file://$work/ours" --root-key "$work/data/nero/keys/root.key.pub" \
  >"$work/audit.out" 2>&1 || fail "the copy is no store"
rm -rf "$work/ours/~nero"
[ "$(wc -l <"$work/names")" -gt 40 ] || fail "only $(wc -l <"$work/names") objects"

# ---- always: the names as the store has them ----
curl -sS --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" --aws-sigv4 aws:amz:us-east-1:s3 \
  -H "x-amz-content-sha256: $(sha256sum </dev/null | cut -d' ' -f1)" \
  "$AWS_ENDPOINT_URL_S3/$bucket?encoding-type=url&list-type=2" >"$work/listing"
! grep -q '<IsTruncated>true' "$work/listing" || fail "a listing of more than one page"
grep -o '<Key>[^<]*' "$work/listing" | cut -c6- | sed 's|%2F|/|g' >"$work/raw"
! grep -vE '^[A-Za-z0-9._/-]+$' "$work/raw" || fail "a name with another character"
cmp "$work/names" "$work/raw" || fail "our own listing is not the store's"

# ---- each tool where it is ----
ran=()
same() { # TOOL: what it listed, $work/listed, and fetched, $work/fetched, is what we read
  LC_ALL=C sort "$work/listed" | cmp "$work/names" - || fail "the listing of $1"
  diff -r "$work/ours" "$work/fetched" >"$work/diff.out" || fail "what $1 fetched"
  rm -r "$work/fetched"
  ran+=("$1")
}

if aws --version >"$work/aws.out" 2>&1; then
  aws=(aws --endpoint-url "$AWS_ENDPOINT_URL_S3" s3)
  "${aws[@]}" ls --recursive s3://$bucket/store/ >"$work/aws.out" 2>&1 || fail "aws s3 ls"
  awk '{ print $4 }' "$work/aws.out" >"$work/listed"
  "${aws[@]}" cp --recursive --no-progress s3://$bucket/store "$work/fetched" \
    >"$work/aws.out" 2>&1 || fail "aws s3 cp"
  same aws
fi
if command -v rclone >"$work/rclone.out" 2>&1; then
  export RCLONE_CONFIG='' RCLONE_CONFIG_S_TYPE=s3 RCLONE_CONFIG_S_PROVIDER=Ceph \
    RCLONE_CONFIG_S_ENV_AUTH=true RCLONE_CONFIG_S_ENDPOINT=$AWS_ENDPOINT_URL_S3
  rclone lsf -R --files-only s:$bucket >"$work/listed" 2>"$work/rclone.out" || fail "rclone lsf"
  rclone copy s:$bucket/store "$work/fetched" >"$work/rclone.out" 2>&1 || fail "rclone copy"
  same rclone
fi
if python3 -c 'import boto3' >"$work/boto3.out" 2>&1; then
  python3 - "$bucket" "$work/fetched" >"$work/listed" 2>"$work/boto3.out" <<'END' || fail "boto3"
import os, pathlib, sys
import boto3
bucket, folder = sys.argv[1:]
s3 = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL_S3"], region_name="us-east-1")
pages = s3.get_paginator("list_objects_v2")
for page in pages.paginate(Bucket=bucket, PaginationConfig={"PageSize": 7}):
    for entry in page["Contents"]:
        path = pathlib.Path(folder, pathlib.Path(entry["Key"]).relative_to("store"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read())
        print(entry["Key"])
END
  same boto3
fi
for tool in aws rclone boto3; do
  [[ " ${ran[*]} " == *" $tool "* ]] || echo "did not run, for it is not installed: $tool"
done
if [ "${#ran[@]}" -eq 0 ]; then
  echo "skipped: no tool that speaks S3 is installed"
  exit 77
fi
echo "read alike by: us ${ran[*]}"
