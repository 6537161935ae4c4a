import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;

/** Runs a file of Flink's SQL in this process, one task; prints the CPU seconds of its last statement, and of all before. */
public class Flink {
    public static void main(String[] words) throws Exception {
        var settings = new Configuration();
        settings.setString("parallelism.default", "1");
        var environment = EnvironmentSettings.newInstance().inStreamingMode().withConfiguration(settings).build();
        var tables = TableEnvironment.create(environment);
        var machine = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        double before = 0;
        for (String statement : Files.readString(Path.of(words[0])).split(";")) {
            if (!statement.isBlank()) {
                before = machine.getProcessCpuTime() / 1e9;
                tables.executeSql(statement).await();
            }
        }
        double job = machine.getProcessCpuTime() / 1e9 - before;
        System.out.printf("%n{\"job\":%.3f,\"before\":%.3f}%n", job, before);
        System.exit(0);
    }
}
