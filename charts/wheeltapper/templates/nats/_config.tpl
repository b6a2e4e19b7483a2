{{- define "wheeltapper.natsConfig" -}}
# Whom the servers trust is in a Secret that the operator makes.
include "../keys/resolver.conf"
server_name: $POD_NAME
listen: 0.0.0.0:4222
http: 0.0.0.0:8222
max_payload: 8MB
# A half-open connection is noticed within 15 s.
ping_interval: 5s
ping_max: 2
jetstream {
  # A server that joins a cluster deletes the streams of its time alone; so it does not find them.
  store_dir: {{ ternary "/data/single" "/data/cluster" (eq (int .Values.backbone.replicas) 1) }}
  max_memory_store: 256MB
  max_file_store: {{ include "wheeltapper.natsStore" . }}
{{- if eq (int .Values.backbone.replicas) 1 }}
  # What is acknowledged must be on the disk, since no other server has it.
  sync_interval: always
{{- end }}
}
{{- if gt (int .Values.backbone.replicas) 1 }}
cluster {
  name: wheeltapper
  listen: 0.0.0.0:6222
  routes: [
{{- range $index := until (int .Values.backbone.replicas) }}
    nats://wheeltapper-nats-{{ $index }}.wheeltapper-nats-peers.{{ $.Release.Namespace }}.svc:6222
{{- end }}
  ]
}
{{- end }}
{{ end }}

{{/* The volume less a tenth, which indexes, accounts and files that are being rewritten need. Quantities of Kubernetes
     and of NATS have different suffixes, so the number is written out in bytes. */}}
{{- define "wheeltapper.natsStore" -}}
{{- $units := dict "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "P" 1000000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "Pi" 1125899906842624 }}
{{- $size := .Values.backbone.persistence.size }}
{{- $number := regexFind "^[0-9.]+" $size }}
{{- printf "%.0f" (mulf (float64 $number) (float64 (get $units (trimPrefix $number $size))) 0.9) }}
{{- end }}
