#!/bin/sh
# A private CA, a certificate for the services of docker-compose.yml and one for their operator, for trying mutual TLS.
#     sh examples/certificates.sh FOLDER
# Good for 30 days. Keep nothing made here for anything that matters: the CA's key lies beside the rest.
set -eu
umask 077
folder=${1:?say where: sh examples/certificates.sh .certificates}
mkdir -p "$folder"
chmod 0700 "$folder"
cd "$folder"

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj "/CN=modctl example CA" \
    -keyout ca.key -out ca.pem 2>/dev/null

issue() { # name, subjectAltName, extendedKeyUsage
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$1" \
        -keyout "$1.key" -out "$1.csr" 2>/dev/null
    printf 'subjectAltName=%s\nextendedKeyUsage=%s\nbasicConstraints=critical,CA:FALSE\n' "$2" "$3" >"$1.ext"
    openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile "$1.ext" -out "$1.pem" 2>/dev/null
    rm "$1.csr" "$1.ext"
}
issue service "DNS:web,DNS:orders,DNS:ticker,DNS:localhost,IP:127.0.0.1" serverAuth
issue operator "URI:operator://example/anna" clientAuth

# Containers read these as another user. The folder keeps everybody else on this machine out.
chmod 0644 ca.pem service.pem service.key operator.pem operator.key
echo "made $(pwd)/{ca,service,operator}.pem"
