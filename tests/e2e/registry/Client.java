// Confluent's own client against a registry, and Confluent's own verdicts over a table of schema pairs.
// Arguments: the registry's address, a folder with pairs.json. Prints one JSON object.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.confluent.kafka.schemaregistry.CompatibilityLevel;
import io.confluent.kafka.schemaregistry.avro.AvroSchema;
import io.confluent.kafka.schemaregistry.client.CachedSchemaRegistryClient;
import io.confluent.kafka.schemaregistry.client.rest.entities.SchemaReference;
import io.confluent.kafka.schemaregistry.client.rest.exceptions.RestClientException;
import java.io.File;
import java.util.List;
import java.util.Map;

public class Client {
    static final ObjectMapper JSON = new ObjectMapper();

    interface Call { Object get() throws Exception; }

    static void expect(String what, Object want, Call call) throws Exception {
        Object got;
        try { got = call.get(); } catch (RestClientException e) { got = e.getStatus() + "/" + e.getErrorCode(); }
        if (!String.valueOf(want).equals(String.valueOf(got))) {
            throw new AssertionError(what + ": expected " + want + ", got " + got);
        }
    }

    static CachedSchemaRegistryClient client(String url) {
        return new CachedSchemaRegistryClient(List.of(url), 100, Map.of(
            "basic.auth.credentials.source", "USER_INFO", "basic.auth.user.info", "edge:secret"));
    }

    public static void main(String[] arguments) throws Exception {
        talk(arguments[0]);
        ObjectNode out = JSON.createObjectNode();
        for (JsonNode pair : JSON.readTree(new File(arguments[1], "pairs.json"))) {
            AvroSchema before = new AvroSchema(pair.get("before").asText());
            AvroSchema after = new AvroSchema(pair.get("after").asText());
            ObjectNode verdicts = out.putObject(pair.get("name").asText());
            for (String level : List.of("BACKWARD", "FORWARD", "FULL")) {
                verdicts.put(level, after.isCompatible(CompatibilityLevel.forName(level), List.of(before)).isEmpty());
            }
            verdicts.put("normal", after.normalize().equals(before.normalize()));
        }
        System.out.println(out);
    }

    static void talk(String url) throws Exception {
        CachedSchemaRegistryClient client = client(url);
        AvroSchema one = new AvroSchema("{\"type\":\"record\",\"name\":\"R\",\"namespace\":\"n\",\"fields\":[{\"name\":\"a\",\"type\":\"int\"}]}");
        AvroSchema two = new AvroSchema("{\"type\":\"record\",\"name\":\"R\",\"namespace\":\"n\",\"fields\":[{\"name\":\"a\",\"type\":\"int\"},{\"name\":\"b\",\"type\":[\"null\",\"string\"],\"default\":null}]}");
        AvroSchema bad = new AvroSchema("{\"type\":\"record\",\"name\":\"R\",\"namespace\":\"n\",\"fields\":[{\"name\":\"c\",\"type\":\"int\"}]}");
        int id = client.register("java-value", one);
        expect("registered again", id, () -> client(url).register("java-value", one));
        expect("by id", one.canonicalString(), () -> client(url).getSchemaById(id).canonicalString());
        expect("id of", id, () -> client(url).getId("java-value", one));
        expect("version of", 1, () -> client(url).getVersion("java-value", one));
        expect("compatible", true, () -> client.testCompatibility("java-value", two));
        expect("incompatible", false, () -> client.testCompatibility("java-value", bad));
        expect("reasons", false, () -> client.testCompatibilityVerbose("java-value", bad).isEmpty());
        expect("refused", "409/409", () -> client.register("java-value", bad));
        expect("level", "NONE", () -> client.updateCompatibility("java-value", "NONE"));
        expect("level read", "NONE", () -> client.getCompatibility("java-value"));
        client.deleteCompatibility("java-value");
        expect("no level", "404/40408", () -> client.getCompatibility("java-value"));
        client.register("java-value", two);
        expect("versions", "[1, 2]", () -> client.getAllVersions("java-value"));
        expect("latest", 2, () -> client.getLatestSchemaMetadata("java-value").getVersion());
        expect("subjects of id", "[java-value]", () -> client(url).getAllSubjectsById(id));
        expect("versions of id", 1, () -> client(url).getAllVersionsById(id).size());
        expect("subjects", "[java-value]", () -> client.getAllSubjectsByPrefix("java-"));
        expect("schemas", 2, () -> client.getSchemas("java-", false, false).size());
        expect("latest only", 1, () -> client.getSchemas("java-", false, true).size());
        expect("no such id", "404/40403", () -> client.getSchemaById(99999));
        expect("mode", "READWRITE", () -> client.getMode());
        expect("read only", "READONLY", () -> client.setMode("READONLY", "java-value"));
        expect("not now", "422/42205", () -> client(url).register("java-value", bad));
        client.deleteMode("java-value");
        SchemaReference reference = new SchemaReference("n.R", "java-value", 1);
        AvroSchema refers = new AvroSchema("{\"type\":\"record\",\"name\":\"S\",\"namespace\":\"n\",\"fields\":[{\"name\":\"r\",\"type\":\"R\"}]}",
            List.of(reference), Map.of("java-value", one.canonicalString()), null);
        int referring = client.register("java-ref", refers);
        expect("reference", "[" + reference + "]", () -> client(url).getSchemaById(referring).references());
        expect("protected", "422/42206", () -> client.deleteSchemaVersion("java-value", "1"));
        expect("deleted", 2, () -> client.deleteSchemaVersion("java-value", "2"));
        expect("deleted subject", "[1]", () -> client.deleteSubject("java-ref"));
        expect("deleted for good", "[1]", () -> client.deleteSubject("java-ref", true));
        AvroSchema spelled = new AvroSchema("{\"type\":\"record\",\"name\":\"n.R\",\"fields\":[{\"name\":\"a\",\"type\":{\"type\":\"int\"}}]}");
        expect("normalised", id, () -> client(url).register("java-value", spelled, true));
    }
}
