{{/* A policy and its binding but for the rules. Names are those of the rule's subject, below the kinds' group.

     Of a change only the spec counts: an object that became wrong because something else did must still lose its
     finalizers, labels and status. A rule that cannot be computed refuses: it is a mistake here, and has to be seen. */}}
{{- define "wheeltapper.policyHead" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: {{ .name }}.wheeltapper.dev
  labels: {{- include "wheeltapper.labels" .root | nindent 4 }}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
      - apiGroups: [wheeltapper.dev]
        apiVersions: ["*"]
        operations: {{ .operations | default (list "CREATE" "UPDATE") | toJson }}
        resources: {{ .resources | toJson }}
  matchConditions:
    - name: spec-is-new
      expression: >-
        oldObject == null || has(object.spec) != has(oldObject.spec)
        || (has(object.spec) && object.spec != oldObject.spec)
{{- end }}

{{- define "wheeltapper.policyBinding" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ .name }}.wheeltapper.dev
  labels: {{- include "wheeltapper.labels" .root | nindent 4 }}
spec:
  policyName: {{ .name }}.wheeltapper.dev
  validationActions: {{ .root.Values.admissionPolicies.actions | toJson }}
{{- if .tenants }}
  # Every TenantPolicy is asked in turn. One that is not there yet refuses nothing.
  paramRef:
    selector: {}
    parameterNotFoundAction: Allow
{{- end }}
{{- end }}

{{/* Topics of MQTT that nobody can publish to: variables from a list of lists of topics, and the rules on them. */}}
{{- define "wheeltapper.topics" -}}
- name: cut
  expression: >-
    {{ . }}
    .map(topics, topics.filter(t, t.contains('#') && t != '#' && !(t.indexOf('#') == size(t) - 1 && t.endsWith('/#'))))
    .filter(topics, size(topics) > 0)
- name: beside
  expression: >-
    {{ . }}
    .map(topics, topics.filter(t, t.split('/').exists(level, level != '+' && level.contains('+'))))
    .filter(topics, size(topics) > 0)
{{- end }}

{{- define "wheeltapper.topicRules" -}}
- expression: size(variables.cut) == 0
  messageExpression: >-
    '{{ . }}: In the topic ' + variables.cut[0][0] + ' the # is not the last level; a # takes all levels that follow'
- expression: size(variables.beside) == 0
  messageExpression: >-
    '{{ . }}: In the topic ' + variables.beside[0][0] + ' a + stands beside other letters; a + takes a whole level'
{{- end }}
