import java.nio.charset.StandardCharsets;
import java.nio.file.*;

// What the driver's tests run. Task.jar is made of it by: javac --release 8 -d DIR Task.java &&
// jar --create --date 2026-01-01T00:00:00Z --file Task.jar --main-class Task -C DIR .
public class Task {
    public static void main(String[] args) throws Exception {
        for (int i = 0; i < args.length; i++) {
            switch (args[i]) {
                case "exit": System.exit(Integer.parseInt(args[++i]));
                case "print": System.out.print(args[++i]); break;
                case "property": System.out.print(System.getProperty(args[++i])); break;
                case "sleep": Thread.sleep(3600_000L); break;
                case "cat": System.out.print(new String(Files.readAllBytes(Paths.get(args[++i])), StandardCharsets.UTF_8)); break;
                default: System.err.println("unknown: " + args[i]); System.exit(2);
            }
        }
    }
}
